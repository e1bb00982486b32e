/** The accuracy of question answering is computed as in the original: soft scores over all labelled questions, in total and by data set. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pretrainSource } from '../../src/data/batches/pretrainSource.js';
import type { QuestionBatch } from '../../src/data/batches/questions.js';
import { openPretrainData } from '../../src/data/samples/pretrainData.js';
import { plainSum } from '../../src/pretrain/losses.js';
import { QuestionScores } from '../../src/pretrain/questionScores.js';
import { validate } from '../../src/pretrain/validation.js';
import { recordOf } from '../../src/records.js';
import { lossNames } from '../../src/config/tasks.js';
import { writeScenes } from '../../src/scenes/index.js';
import { WordPiece } from '../../src/text/wordPiece.js';

let folder: string;
const answers = ['yes', 'no', 'red'];
/** Sentences and labels of the first image; the second has a caption, so that sentences can be swapped. */
const sets = {
  mscoco: { sentf: ['a red circle'], labelf: undefined },
  vqa: {
    sentf: ['is it red?', 'is it blue?', 'what is it?', 'who is it?'],
    // One answer is not in the table, and one label is empty: both questions count, with score 0.
    labelf: [{ yes: 0.3, no: 0.6 }, { Yes: 1, no: 1 }, { circle: 1 }, {}],
  },
  gqa: { sentf: ['which color?'], labelf: [{ red: 0.9, circle: 1 }] },
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'question-scores-'));
  await writeScenes({ out: folder, images: 10, featureDim: 16, pictures: 0 });
  await writeFile(join(folder, 'all_ans.json'), JSON.stringify(answers.map((ans) => ({ ans, dsets: ['vqa'] }))));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function openSource() {
  const wordPiece = await WordPiece.load();
  const scenes = await openPretrainData({ dir: folder, splits: 'valid', wordPiece });
  const [first, second] = scenes.imageIds;
  await scenes.close();
  const text = [
    {
      img_id: first,
      sentf: Object.fromEntries(Object.entries(sets).map(([name, { sentf }]) => [name, sentf])),
      labelf: { vqa: sets.vqa.labelf, gqa: sets.gqa.labelf },
    },
    { img_id: second, sentf: { mscoco: ['a blue star'] }, labelf: {} },
  ];
  await writeFile(join(folder, 'valid.json'), JSON.stringify(text));
  const data = await openPretrainData({ dir: folder, splits: 'valid', wordPiece });
  return { data, source: pretrainSource({ train: data, valid: data, seed: 1, batchSize: 4, workers: 0 }) };
}

/** A model that always gives the same answer. */
function modelOf(answer: number) {
  const tally = { lossSum: 1, count: 1, correct: 0, labelled: 1 };
  return {
    answer: async ({ size }: QuestionBatch) => new Int32Array(size).fill(answer),
    evaluate: async () => recordOf(lossNames, () => tally),
    losses: () => ({ total: 1, losses: {} }),
  };
}

test.each([
  // Score of the answer in vqa (four questions) and gqa (one question).
  { answer: 'yes', vqa: (0.3 + 1) / 4, gqa: 0, all: 1.3 / 5 },
  { answer: 'no', vqa: (0.6 + 1) / 4, gqa: 0, all: 1.6 / 5 },
  { answer: 'red', vqa: 0, gqa: 0.9, all: 0.9 / 5 },
])('the accuracy of a model that always says $answer', async ({ answer, vqa, gqa, all }) => {
  const { data, source } = await openSource();
  try {
    const validation = await validate(modelOf(answers.indexOf(answer)), source, plainSum, {});
    expect(validation?.accuracy.qa).toBeCloseTo(all, 12);
    expect(validation?.accuracyBySet).toEqual({ qa: { gqa: expect.closeTo(gqa, 12), vqa: expect.closeTo(vqa, 12) } });
  } finally {
    await data.close();
  }
});

test('without question answering there is no accuracy', async () => {
  const { data, source } = await openSource();
  try {
    const validation = await validate(modelOf(0), source, { ...plainSum, qa: 0 }, {});
    expect(validation?.accuracy).not.toHaveProperty('qa');
    expect(validation?.accuracyBySet).toBeUndefined();
  } finally {
    await data.close();
  }
});

test('scores are summed without rounding, and questions without a data set count only in the total', () => {
  const scores = new QuestionScores();
  expect([scores.overall, scores.bySet]).toEqual([undefined, undefined]);
  for (let i = 0; i < 16; i++) scores.add('vqa', 0.3);
  expect(scores.overall).toBe(0.3);
  scores.addUnnamed(16, 16);
  expect(scores.overall).toBe((16 * 0.3 + 16) / 32);
  expect(scores.bySet).toEqual({ vqa: 0.3 });
});

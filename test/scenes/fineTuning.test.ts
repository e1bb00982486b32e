import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAnswerVocabulary } from '../../src/finetune/answers/index.js';
import { readQuestions } from '../../src/finetune/questions/index.js';
import type { Question, QuestionTask } from '../../src/finetune/questions/index.js';
import { statementOf } from '../../src/finetune/scores/index.js';
import { allAnswers } from '../../src/scenes/questions.js';
import { scenesPerSet } from '../../src/scenes/pairSet.js';
import { writeScenes } from '../../src/scenes/index.js';
import type { ScenesSummary } from '../../src/scenes/index.js';
import { makeScene } from '../../src/scenes/world.js';
import type { Scene, Split } from '../../src/scenes/world.js';
import { answer, holdsOfPair } from './evaluator.js';

const images = 400;
let root: string;
let out: string;
let summary: ScenesSummary;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scenes-'));
  out = join(root, 'scenes');
  summary = await writeScenes({ out, images, featureDim: 4, pictures: 0 });
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function questionsOf(task: QuestionTask, split: Split): Promise<Question[]> {
  const questions: Question[] = [];
  await readQuestions({ task, files: join(out, task, `${split}.json`) }, (question) => questions.push(question));
  return questions;
}

/** The scene with the given image id. */
function sceneOf(imageId: string): Scene {
  const [, split, index] = imageId.split('_');
  return makeScene(0, split as Split, Number(index));
}

const sentencesOf = (questions: readonly Question[]): string[] => questions.map(({ sentence }) => sentence);

describe.each(['train', 'valid'] as const)('the sets for fine-tuning (%s)', (split) => {
  test('the answers to the questions in VQA format agree with the picture, and are in the answer list of the set', async () => {
    const questions = await questionsOf('vqa', split);
    const { answers } = await readAnswerVocabulary(join(out, 'vqa'));
    expect(answers.length).toBeLessThan(allAnswers.length);
    expect(questions.length).toBe(summary.fineTuning[split].vqa.questions.all);
    const wrong = questions.filter(
      ({ sentence, imageIds, labels }) => answer(sceneOf(imageIds[0]), sentence) !== labels![0].answer,
    );
    expect(sentencesOf(wrong)).toEqual([]);
    expect(new Set(questions.map(({ labels }) => labels![0].answer))).toEqual(new Set(answers));
    expect(questions.every(({ types }) => ['yes/no', 'other'].includes(types.answer_type))).toBe(true);
  });

  test('the label says whether a statement about two pictures is true; it is true for half of its pairs', async () => {
    const pairs = await questionsOf('nlvr2', split);
    const count = split === 'train' ? images : 100;
    expect(pairs.length).toBe(summary.fineTuning[split].nlvr2.pairs);
    expect(pairs.length).toBeGreaterThan((count / scenesPerSet) * 4 * 3.5);
    const wrong = pairs.filter(({ sentence, imageIds, labels }) => {
      const [left, right] = imageIds.map(sceneOf);
      return String(holdsOfPair(left, right, sentence)) !== labels![0].answer.toLowerCase();
    });
    expect(sentencesOf(wrong)).toEqual([]);
    const statements = new Map<string, string[]>();
    for (const { id, labels } of pairs) {
      const group = statements.get(statementOf(id)) ?? [];
      statements.set(statementOf(id), [...group, labels![0].answer]);
    }
    expect(statements.size).toBe(summary.fineTuning[split].nlvr2.statements);
    for (const labels of statements.values()) expect(labels.sort()).toEqual(['False', 'False', 'True', 'True']);
    expect(pairs.every(({ imageIds: [left, right] }) => left !== right)).toBe(true);
  });
});

test('both sets are balanced, and the summary has the accuracy without the pictures', () => {
  for (const { vqa, nlvr2 } of Object.values(summary.fineTuning)) {
    expect(nlvr2.majority).toBe(0.5);
    expect(vqa.majority.all).toBeLessThan(0.4);
    expect(Object.keys(vqa.majority).sort()).toEqual(['all', 'color', 'existence', 'shape']);
  }
});

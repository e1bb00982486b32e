/**
 * Tests questions, checkpoints and splits that cannot be used together. questions.test.ts tests question files with
 * errors.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FinetuneTask } from '../../src/config/finetuneConfig.js';
import { evaluate, finetune, predict } from '../../src/finetune/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { questionScenes, smallModel } from './questionScenes.js';
import { command, refused } from './support.js';

jest.setTimeout(240_000);

interface VqaEntry {
  readonly question_id: number;
  readonly img_id: string;
  readonly label?: Readonly<Record<string, number>>;
}
interface PairEntry {
  readonly identifier: string;
  readonly img1: string;
}

let folder: string;
let data: string;
let questions: readonly VqaEntry[];
const engine = { device: 'cpu', threads: 1 } as const;
const usual = { ...smallModel, ...engine, threads: '1', 'batch-size': '8', 'max-steps': '2', 'valid-every': '2' };

const write = (name: string, value: unknown): void => writeFileSync(join(data, name), JSON.stringify(value));

/** Fine-tunes and returns the notes of the run. */
async function run(out: string, flags: Readonly<Record<string, string>>, resume = false): Promise<string> {
  const notes: string[] = [];
  const sources = { flags: { ...usual, data, out: join(folder, out), train: 'train', valid: 'none', ...flags } };
  await finetune({ sources, resume, observer: { note: (text) => notes.push(text) } });
  return notes.join('\n');
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-bad-input-'));
  data = await questionScenes(join(folder, 'data'), 12);
  questions = (JSON.parse(readFileSync(join(data, 'vqa/train.json'), 'utf8')) as VqaEntry[]).slice(0, 8);
  const pairs = (JSON.parse(readFileSync(join(data, 'nlvr2/train.json'), 'utf8')) as PairEntry[]).slice(0, 8);
  const [first, second] = questions;
  write('vqa/odd.json', [{ ...first, img_id: 'nowhere' }, { ...second, label: { purple: 1 } }, ...questions.slice(2)]);
  write(
    'vqa/unlabelled.json',
    questions.map(({ label: _, ...question }) => question),
  );
  write('vqa/again.json', questions.slice(0, 2));
  write('nlvr2/odd.json', [{ ...pairs[0], img1: 'nowhere' }, ...pairs.slice(1)]);
  const yaml = readFileSync(join(data, 'data.yaml'), 'utf8');
  const split = (name: string) => `  ${name}:\n    features: train.tsv\n`;
  writeFileSync(
    join(data, 'data.yaml'),
    yaml.replace('splits:\n', `splits:\n${['odd', 'unlabelled', 'again'].map(split).join('')}`),
  );
  await run('vqa', { task: 'vqa' });
  await run('nlvr2', { task: 'nlvr2' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const last = (out: string): string => join(folder, out, 'checkpoints/last');
const ask = (task: FinetuneTask, split: string) => ({
  ...{ task, checkpoint: last(task), data, engine },
  splits: split.split(','),
});

describe('questions with a picture without features', () => {
  test('are left out of training and counted; if their share is above the limit, the run is refused', async () => {
    for (const task of ['vqa', 'nlvr2']) {
      const notes = await run(`${task}-odd`, { task, train: 'odd', 'max-missing-share': '0.2' });
      expect(notes).toContain('train (odd): 7 questions');
      expect(notes).toContain('1 question left out: no features of a picture (such as nowhere)');
      await refused(run(`${task}-refused`, { task, train: 'odd' }), 'BAD_DATA', 'odd.json', '1 of 8', 'nowhere', '1 %');
    }
  });

  test.each(['vqa', 'nlvr2'] as const)(
    'count as wrong unless they are skipped, and are reported (%s)',
    async (task) => {
      const { evaluation } = await evaluate(ask(task, 'odd'));
      const skipped = await evaluate({ ...ask(task, 'odd'), skipMissing: true });
      expect(evaluation).toMatchObject({ questions: 8, withoutFeatures: 1 });
      expect(skipped.evaluation).toMatchObject({ questions: 7, withoutFeatures: 1 });
      expect(8 * evaluation.accuracy).toBeCloseTo(7 * skipped.evaluation.accuracy, 10);
      const { predictions, withoutFeatures, missingImage } = await predict(ask(task, 'odd'));
      expect([predictions.length, withoutFeatures, missingImage]).toEqual([7, 1, 'nowhere']);
    },
  );

  test('are reported by the commands', async () => {
    const table = {
      evaluate: () => import('../../src/cli/evaluate.js'),
      predict: () => import('../../src/cli/predict.js'),
    };
    const flags = ['--data', data, '--split', 'odd', '--device', 'cpu', '--threads', '1', '--checkpoint', last('vqa')];
    const scored = await command(table, 'evaluate', 'vqa', ...flags, '--json');
    expect(scored.err).toContain(
      '1 of 8 questions have no features of a picture (such as nowhere); they count as wrong',
    );
    expect(JSON.parse(scored.out)).toMatchObject({ questions: 8, withoutFeatures: 1 });
    const out = join(folder, 'answers.json');
    const told = await command(table, 'predict', 'vqa', ...flags, '--out', out);
    expect(told.err).toContain('1 of 8 questions have no features of a picture (such as nowhere) and no prediction');
    expect(JSON.parse(readFileSync(out, 'utf8'))).toHaveLength(7);
  });
});

test('answers outside the list are left out and counted', async () => {
  const notes = await run('outside', { task: 'vqa', train: 'odd', 'max-missing-share': '0.2' });
  expect(notes).toContain('1 label left out: not in the answer list; without a label of the answer list: 1 question');
});

test('missing labels are refused for a score, and not needed for predictions', async () => {
  await refused(evaluate(ask('vqa', 'unlabelled')), 'BAD_DATA', 'unlabelled.json', '8 of 8 questions have no labels');
  await refused(run('unlabelled', { task: 'vqa', valid: 'unlabelled' }), 'BAD_DATA', 'unlabelled.json', 'no labels');
  expect((await predict(ask('vqa', 'unlabelled'))).predictions).toHaveLength(8);
});

test('an id in two splits and a split that does not exist are refused', async () => {
  const id = String(questions[0].question_id);
  await refused(predict(ask('vqa', 'train,again')), 'BAD_DATA', id, 'two of the splits train,again', 'again.json');
  await refused(evaluate(ask('vqa', 'minival')), 'BAD_ARGUMENT', 'minival', 'odd, unlabelled, again, train, valid');
});

test('doctor --check-values reads the features that a fine-tuning run would read, and lists the flags that it needs', async () => {
  const table = { doctor: () => import('../../src/cli/doctor.js') };
  const flags = ['--data', data, '--train', 'odd', '--valid', 'valid', '--check-values', '--steps', '0', '--json'];
  const model = Object.entries({ ...smallModel, ...engine, 'max-missing-share': '0.2' });
  const more = model.flatMap(([flag, value]) => [`--${flag}`, `${value}`]);
  const { code, out, err } = await command(table, 'doctor', 'vqa', ...flags, ...more);
  expect([code, err.includes('cannot be read')]).toEqual([0, false]);
  const { values, plan } = JSON.parse(out) as { values: { path: string; images: number; bad: [] }[]; plan: object };
  expect(values.map(({ path, images, bad }) => [path, images, bad])).toEqual([
    [join(data, 'train.tsv'), 12, []],
    [join(data, 'valid.tsv'), 100, []],
  ]);
  expect(plan).toMatchObject({ disk: { checkpoints: expect.any(Number) } });
});

describe('a checkpoint', () => {
  test('for another task, or without an answer head, is refused', async () => {
    await refused(
      evaluate({ ...ask('vqa', 'train'), checkpoint: last('nlvr2') }),
      'BAD_CHECKPOINT',
      'for nlvr2, not for vqa',
    );
    await refused(
      predict({ ...ask('nlvr2', 'train'), checkpoint: last('vqa') }),
      'BAD_CHECKPOINT',
      'for vqa, not for nlvr2',
    );
  });

  test('for features of another width is refused', async () => {
    const other = join(folder, 'narrow');
    await writeScenes({ out: other, images: 12, seed: 1, featureDim: 16, pictures: 0 });
    const words = ['features of 128 numbers', '16'];
    await refused(evaluate({ ...ask('vqa', 'train'), data: other }), 'BAD_CHECKPOINT', last('vqa'), ...words);
    await refused(run('narrow-run', { task: 'vqa', data: other, from: last('vqa') }), 'BAD_CONFIG', ...words);
  });

  test('for another answer list is refused', async () => {
    const copy = join(folder, 'copy');
    cpSync(last('vqa'), copy, { recursive: true, dereference: true });
    writeFileSync(join(copy, 'answers.json'), '["yes", "no"]');
    const words = ['answers.json has 2 answers', 'the answer head has 10'];
    await refused(evaluate({ ...ask('vqa', 'train'), checkpoint: copy }), 'BAD_CHECKPOINT', ...words);
    // A resumed run keeps its answers.
    const answers = join(folder, 'others.json');
    writeFileSync(
      answers,
      JSON.stringify(['blue', 'circle', 'green', 'no', 'red', 'square', 'star', 'triangle', 'yes', 'x']),
    );
    await refused(run('vqa', { task: 'vqa', answers, 'max-steps': '3' }, true), 'BAD_CONFIG', 'answer');
    // The rows of an answer head are matched by the words of their answers.
    const notes = await run('other-answers', { task: 'vqa', answers, from: last('vqa') });
    expect(notes).toContain('rows of 9 of 10 answers');
  });
});

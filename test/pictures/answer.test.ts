/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { finetune } from '../../src/finetune/index.js';
import { smallModel } from '../finetune/questionScenes.js';
import { command } from '../finetune/support.js';
import { drawPictures } from './support.js';

const fixtures = fileURLToPath(new URL('../fixtures/detector/', import.meta.url));
const table = {
  answer: () => import('../../src/cli/answer.js'),
  detector: () => import('../../src/cli/detector.js'),
  features: () => import('../../src/cli/features.js'),
  predict: () => import('../../src/cli/predict.js'),
};

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-answer-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ranked {
  readonly answer: string;
  readonly probability: number;
}

test('from pictures to answers: a detector, features, a model trained on them, questions on the pictures', async () => {
  const flags = ['--recipe', 'transformers', '--out', at('d.onnx'), '--min-size', '160'];
  expect(await command(table, 'detector', 'import', join(fixtures, 'frcnn'), ...flags)).toMatchObject({
    code: 0,
    out: expect.stringContaining('20 object classes, 12 attributes, 36 boxes of 128 features') as unknown,
  });
  const drawn = await drawPictures(folder);
  const pictures = [drawn.landscape, drawn.portrait];
  const extracted = ['--detector', at('d.onnx'), '--out', at('f.tsv'), '--workers', '0', '--json'];
  const { code, out } = await command(table, 'features', 'extract', ...pictures, ...extracted);
  expect([code, JSON.parse(out)]).toMatchObject([0, { pictures: 2, skipped: 0 }]);

  writeFileSync(at('data.yaml'), 'splits:\n  train: { features: f.tsv, qa: q.jsonl }\n');
  writeFileSync(at('answers.json'), '["left", "right", "middle"]');
  const answers = ['left', 'right'];
  const questions = ['landscape', 'portrait'].map((image, i) => ({
    id: i,
    image,
    question: 'where?',
    answer: answers[i],
  }));
  writeFileSync(at('q.jsonl'), questions.map((question) => `${JSON.stringify(question)}\n`).join(''));
  await finetune({
    sources: {
      flags: {
        ...smallModel,
        ...{ task: 'qa', data: folder, out: at('run'), answers: at('answers.json'), train: 'train', valid: 'none' },
        ...{ lr: '5e-3', 'batch-size': '2', 'max-steps': '20', device: 'cpu', threads: '1' },
      },
    },
  });

  // The reference: the same questions, answered from the feature file.
  const from = ['--checkpoint', at('run'), '--data', folder, '--split', 'train', '--device', 'cpu'];
  expect(await command(table, 'predict', 'qa', ...from, '--out', at('p.json'), '--top', '3')).toMatchObject({
    code: 0,
  });
  const predicted = JSON.parse(readFileSync(at('p.json'), 'utf8')) as { answers: Ranked[] }[];
  for (const [i, path] of pictures.entries()) {
    const asked = ['where?', 'where is it?', '--detector', at('d.onnx'), '--json'];
    const answered = await command(table, 'answer', at('run'), path, ...asked);
    expect(answered).toMatchObject({ code: 0, err: '' });
    const results = JSON.parse(answered.out) as { question: string; answers: Ranked[] }[];
    expect(results.map(({ question }) => question)).toEqual(['where?', 'where is it?']);
    expect(results[0].answers.map(({ answer }) => answer)).toEqual(predicted[i].answers.map(({ answer }) => answer));
    for (const [k, { probability }] of results[0].answers.entries())
      expect(probability).toBeCloseTo(predicted[i].answers[k].probability, 5);
  }

  const people = await command(
    table,
    'answer',
    at('run'),
    pictures[0],
    'where?',
    '--detector',
    at('d.onnx'),
    '--top',
    '1',
  );
  expect(people.out).toMatch(/^where\?\n +\d+\.\d % {2}(left|right|middle)\n$/);
  const missing = await command(table, 'answer', at('run'), at('no.png'), 'where?', '--detector', at('d.onnx'));
  expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('no.png')]);
});

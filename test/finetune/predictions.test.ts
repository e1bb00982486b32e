import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { readPredictions, writePredictions } from '../../src/finetune/predictions/index.js';
import type { QuestionTask } from '../../src/finetune/questions/index.js';
import { fileFolder, fixture, refused } from './support.js';

const { folder, put, remove } = fileFolder();
afterAll(remove);
const out = join(folder, 'written');

test.each<[QuestionTask, string]>([
  ['vqa', 'scores/vqa-minival_predict.json'],
  ['gqa', 'scores/gqa-testdev_predict.json'],
  ['nlvr2', 'scores/nlvr2-valid_predict.csv'],
])("%s: what the original's evaluator wrote is read, and written again with the same bytes", async (task, name) => {
  const predictions = await readPredictions(task, fixture(name));
  expect(predictions.size).toBe(200);
  await writePredictions(
    task,
    out,
    [...predictions].map(([id, answer]) => ({ id, answer })),
  );
  expect(readFileSync(out, 'utf8')).toBe(readFileSync(fixture(name), 'utf8'));
});

test("the user's own format: a list, or one object a line", async () => {
  const predictions = new Map([
    ['q1', 'red'],
    ['2', 'é "😀"\u007f'],
  ]);
  await writePredictions(
    'qa',
    out,
    [...predictions].map(([id, answer]) => ({ id, answer })),
  );
  expect(readFileSync(out, 'utf8')).toContain('\\u00e9 \\"\\ud83d\\ude00\\"\u007f');
  expect(await readPredictions('qa', out)).toEqual(predictions);
  const lines = put('{"id": "q1", "answer": "red"}\n{"id": 2, "answer": "é \\"😀\\"\u007f"}\n');
  expect(await readPredictions('qa', lines)).toEqual(predictions);
});

test('ranked answers are an additional field; the official fields are still read', async () => {
  const ranked = [
    { answer: 'net', probability: 0.75 },
    { answer: 'fence', probability: 0.125 },
  ];
  await writePredictions('gqa', out, [{ id: '07', answer: 'net', ranked }]);
  expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual([{ questionId: '07', prediction: 'net', answers: ranked }]);
  expect(await readPredictions('gqa', out)).toEqual(new Map([['07', 'net']]));
});

test('all of many predictions are written', async () => {
  const many = Array.from({ length: 10_000 }, (_, i) => ({ id: String(i), answer: `answer ${i}` }));
  await writePredictions('vqa', out, many);
  expect(await readPredictions('vqa', out)).toEqual(new Map(many.map(({ id, answer }) => [id, answer])));
  await writePredictions('vqa', out, []);
  expect(readFileSync(out, 'utf8')).toBe('[]');
});

test('an id that the format cannot represent and a missing folder are refused', async () => {
  await refused(writePredictions('vqa', out, [{ id: 'q1', answer: 'a' }]), 'BAD_ARGUMENT', '"q1"', 'whole numbers');
  await refused(writePredictions('nlvr2', join(folder, 'no/file'), []), 'FILE_MISSING', join(folder, 'no/file'));
});

describe('the error for a bad prediction file names file, place and field', () => {
  test.each<[string, QuestionTask, unknown, string[]]>([
    ['an empty file', 'vqa', '', ['is empty']],
    ['an empty list', 'vqa', [], ['no predictions in it']],
    ['an empty CSV', 'nlvr2', '\n', ['no predictions in it']],
    ["VQA's id as a string", 'vqa', [{ question_id: '7', answer: 'a' }], ['[0].question_id', 'whole number']],
    ["GQA's id as a number", 'gqa', [{ questionId: 7, prediction: 'a' }], ['[0].questionId', 'zeros']],
    ["GQA's answer under VQA's name", 'gqa', [{ questionId: '7', answer: 'a' }], ['[0].prediction', 'nothing']],
    ['an answer that is a number', 'vqa', [{ question_id: 7, answer: 3 }], ['[0].answer', '3']],
    [
      'an id twice',
      'vqa',
      [1, 2, 1].map((id) => ({ question_id: id, answer: 'a' })),
      ['[2]', 'a second prediction of 1'],
    ],
    ['a line with one field', 'nlvr2', 'a-1-0-0,True\na-1-0-1\n', ['line 2', 'identifier,True', 'a-1-0-1']],
    ['a line with another answer', 'nlvr2', 'a-1-0-0,yes\n', ['line 1', 'yes']],
    ['a line twice', 'nlvr2', 'a-1-0-0,true\r\n\r\na-1-0-0,False\r\n', ['line 3', 'a second prediction of a-1-0-0']],
  ])('%s', async (_, task, content, words) => {
    const file = put(content);
    await refused(readPredictions(task, file), 'BAD_DATA', file, ...words);
  });

  test('a missing file', () => refused(readPredictions('nlvr2', '/nowhere.csv'), 'FILE_MISSING', '/nowhere.csv'));
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import {
  answerVocabulary,
  buildAnswers,
  readAnswerVocabulary,
  writeAnswerVocabulary,
} from '../../src/finetune/answers/index.js';
import { command, fileFolder, fixture, refused } from './support.js';

const { folder, put, remove } = fileFolder();
afterAll(remove);

const question = (id: number, more: object) => ({ id, image: 'a', question: 'what?', ...more });
const ten = (...some: string[]): string[] => Array.from({ length: 10 }, (_, i) => some[i % some.length]);

describe('an answer vocabulary', () => {
  test('finds an answer only in the spelling of the list', () => {
    const { answers, idOf } = answerVocabulary(['', 'red', 'constructor', '2']);
    expect(answers.map(idOf)).toEqual([0, 1, 2, 3]);
    expect(['Red', '__proto__', 'blue'].map(idOf)).toEqual([-1, -1, -1]);
  });

  test.each([
    ['a list', ['no', 'yes', '2']],
    ['an object of labels', { 2: 2, yes: 1, no: 0 }],
    ["the pre-training's list", ['no', 'yes', '2'].map((ans) => ({ ans, dsets: ['vqa'] }))],
  ])('is read from %s', async (_, content) => {
    expect((await readAnswerVocabulary(put(content))).answers).toEqual(['no', 'yes', '2']);
  });

  test('is written as two files that agree, and read from their folder', async () => {
    const out = join(folder, 'a', 'b');
    const answers = ['yes', '10', '2', 'it\'s "é"'];
    await writeAnswerVocabulary(out, answers);
    expect(JSON.parse(readFileSync(join(out, 'trainval_label2ans.json'), 'utf8'))).toEqual(answers);
    const ids = readFileSync(join(out, 'trainval_ans2label.json'), 'utf8');
    expect(JSON.parse(ids)).toEqual({ yes: 0, 10: 1, 2: 2, 'it\'s "é"': 3 });
    expect((await readAnswerVocabulary(out)).answers).toEqual(answers);
    put(['yes', '10', '3', 'it\'s "é"'], 'a/b/trainval_label2ans.json');
    await refused(readAnswerVocabulary(out), 'BAD_DATA', out, 'label 2', '"3"', '"2"');
  });

  test.each([
    ['an empty list', [], 'no answers in it'],
    ['a number', 3, 'a list of answers'],
    ['an answer that is not a string', ['yes', 3], '[1]'],
    ['an entry without ans', [{ dsets: [] }], '[0].ans'],
    ['an answer twice', ['yes', 'no', 'yes'], '"yes" is answer 0 and answer 2'],
    [
      'a label twice',
      { yes: 0, no: 0 },
      '"no" must be a label from 0 to 1 that no other answer has, found 0, the label of "yes"',
    ],
    ['a label too many', { yes: 0, no: 2 }, '"no" must be a label from 0 to 1'],
    ['no JSON', '[', 'is not JSON'],
  ])('%s is refused', async (_, content, words) => {
    const file = put(content);
    await refused(readAnswerVocabulary(file), 'BAD_DATA', file, words);
  });

  test('the errors for a folder without a vocabulary and for a missing path differ', async () => {
    await refused(readAnswerVocabulary(fixture('scores')), 'FILE_MISSING', 'trainval_label2ans.json', 'answers build');
    await refused(readAnswerVocabulary('/nowhere'), 'FILE_MISSING', '/nowhere', 'an answer list');
  });
});

describe('building a vocabulary', () => {
  const file = () =>
    put([
      question(1, { answer: 'red' }),
      question(2, { answers: { pink: 0.6, red: 0.9 } }),
      question(3, { answers: ten('the red', 'red', 'pink', 'red') }),
      question(4, { answer: 'blue' }),
      question(5, { answers: { pink: 0.5, green: 0.5 } }),
      question(6, { answers: {} }),
      question(7, {}),
    ]);

  test('counts the main answer of each question, lists the most frequent first, and reports their coverage', async () => {
    const built = await buildAnswers({ files: [file()] });
    expect(built).toMatchObject({ answers: ['red', 'blue', 'pink'], questions: 6, covered: 5, differentAnswers: 3 });
    expect(built.share).toBe(5 / 6);
    expect(built.bestScore).toBeCloseTo((1 + 0.9 + 1 + 1 + 0.5) / 6, 12);
  });

  test('leaves out rare answers', async () => {
    expect(await buildAnswers({ files: [file()], minCount: 3 })).toMatchObject({ answers: ['red'], covered: 3 });
    expect(await buildAnswers({ files: [file(), file()], minCount: 2 })).toMatchObject({
      answers: ['red', 'blue', 'pink'],
      questions: 12,
      covered: 10,
    });
    await refused(buildAnswers({ files: [file()], minCount: 9 }), 'BAD_DATA', '9 questions', 'that of 3');
    await refused(buildAnswers({ files: [file()], minCount: 0 }), 'BAD_ARGUMENT', 'from 1');
    await refused(buildAnswers({ files: [] }), 'BAD_ARGUMENT', 'name of a file');
  });

  test('takes the main answer that official annotations name', async () => {
    const annotations = [
      {
        ...{
          question_id: 1,
          image_id: 2,
          answer_type: 'other',
          question_type: 'what',
          multiple_choice_answer: 'The Sky',
        },
        answers: ten('sky', 'blue').map((answer, i) => ({ answer, answer_id: i })),
      },
    ];
    const built = await buildAnswers({ files: [put({ data_subtype: 'val2014', annotations })] });
    expect(built).toMatchObject({ answers: ['sky'], questions: 1, share: 1, bestScore: 1 });
  });

  test('refuses questions without labels', async () => {
    const unlabelled = put([question(1, {})]);
    await refused(buildAnswers({ files: [unlabelled] }), 'BAD_DATA', unlabelled, 'no question has labels');
  });

  test('lxmert answers build writes the two files and prints their coverage', async () => {
    const table = { answers: () => import('../../src/cli/answers.js') };
    const out = join(folder, 'built');
    const args = ['answers', 'build', fixture('scores/vqa-minival.json'), '--out', out, '--min-count', '3'];
    const { code, out: said } = await command(table, ...args);
    expect(code).toBe(0);
    const { answers } = await readAnswerVocabulary(out);
    expect(said).toContain(`${out}: ${answers.length} of `);
    expect(said).toMatch(/They cover \d+ of 200 questions \(\d+\.\d %\)\./);
    const { out: json } = await command(table, ...args, '--json');
    expect(JSON.parse(json)).toMatchObject({ answers: answers.length, questions: 200 });
    expect((await command(table, 'answers', 'build', '--out', out)).code).toBe(2);
    expect((await command(table, 'answers')).err).toContain('answers build FILE');
  });
});

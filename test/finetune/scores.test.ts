import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { readPredictions } from '../../src/finetune/predictions/index.js';
import {
  annotatorAccuracy,
  createScorer,
  normalizeVqaAnswer,
  scoreFile,
  softLabels,
  statementOf,
} from '../../src/finetune/scores/index.js';
import { command, fileFolder, fixture, questionsOf, refused } from './support.js';

const { put, remove } = fileFolder();
afterAll(remove);
const expected = JSON.parse(readFileSync(fixture('scores/expected.json'), 'utf8'));
const at = (name: string): string => fixture(`scores/${name}`);

describe('the scores are exactly those of the original and of lil-lab', () => {
  const vqa = { task: 'vqa', labels: at('vqa-minival.json'), predictions: at('vqa-minival_predict.json') } as const;

  test('VQA: all questions, and by answer type', async () => {
    const score = await scoreFile(vqa);
    expect(score.accuracy).toBe(expected.vqa.accuracy);
    expect(score.questions).toBe(expected.vqa.questions);
    expect(score.byType).toEqual(expected.vqa.by_answer_type);
    expect(Object.keys(score.byQuestionType!).sort()).toEqual(['how many', 'is the', 'what is']);
  });

  test('VQA over the first 50 predictions only, and with the best answers', async () => {
    const predictions = await readPredictions('vqa', vqa.predictions);
    const questions = await questionsOf('vqa', vqa.labels);
    const some = createScorer({ task: 'vqa', predictions: new Map([...predictions].slice(0, 50)), missing: 'skip' });
    questions.forEach(some.add);
    expect(some.result()).toMatchObject({
      accuracy: expected.vqa.first_50_predictions_only,
      questions: 50,
      missing: 150,
    });
    const best = questions.map(({ id, labels }): [string, string] => [
      id,
      labels!.reduce((a, b) => (b.score > a.score ? b : a), { answer: '', score: -1 }).answer,
    ]);
    const scorer = createScorer({ task: 'vqa', predictions: new Map(best) });
    questions.forEach(scorer.add);
    expect(scorer.result().accuracy).toBe(expected.vqa.best_possible);
  });

  test('GQA', async () => {
    const score = await scoreFile({
      task: 'gqa',
      labels: at('gqa-testdev.json'),
      predictions: at('gqa-testdev_predict.json'),
    });
    expect([score.accuracy, score.questions]).toEqual([expected.gqa.accuracy, expected.gqa.questions]);
    expect(score.byType).toBeUndefined();
  });

  test.each(['nlvr2-dev.json', 'nlvr2-valid.json'])('NLVR2 with the labels of %s', async (labels) => {
    const score = await scoreFile({ task: 'nlvr2', labels: at(labels), predictions: at('nlvr2-valid_predict.csv') });
    const { accuracy, consistency, examples: questions, statements } = expected.nlvr2;
    expect(score).toMatchObject({ accuracy, consistency, questions, statements });
  });
});

describe('accuracy by type', () => {
  test("by the structural and semantic types of GQA's published questions", async () => {
    const question = (answer: string, structural: string, semantic: string) => ({
      ...{ imageId: '1', question: 'what?', answer },
      types: { structural, semantic, detailed: 'categoryThat' },
    });
    const labels = put({
      '01': question('pipe', 'query', 'obj'),
      '02': question('yes', 'verify', 'obj'),
      '03': question('no', 'verify', 'attr'),
    });
    const said = ['pipe', 'yes', 'yes'].map((prediction, i) => ({ questionId: `0${i + 1}`, prediction }));
    const score = await scoreFile({ task: 'gqa', labels, predictions: put(said) });
    expect(score.accuracy).toBeCloseTo(2 / 3, 12);
    expect(score.byType).toEqual({ query: 1, obj: 1, verify: 0.5, attr: 0 });
  });

  test("by the type of the user's own questions, with labels of three kinds", async () => {
    const ten = ['red', 'red', 'The red.', ...Array.from({ length: 7 }, (_, i) => `x${i}`)];
    const questions = [
      { id: 1, image: 'a', question: 'what?', answer: 'red', type: 'one' },
      { id: 2, image: 'a', question: 'what?', answers: { red: 0.5 }, type: 'scored' },
      { id: 3, image: 'a', question: 'what?', answers: ten, type: 'annotated' },
    ];
    const said = [1, 2, 3].map((id) => ({ id, answer: 'red' }));
    const { byType, questions: count } = await scoreFile({
      task: 'qa',
      labels: put(questions),
      predictions: put(said),
    });
    expect(byType).toMatchObject({ one: 1, scored: 0.5 });
    expect(byType!.annotated).toBeCloseTo(0.9, 12);
    expect(count).toBe(3);
  });

  test('official VQA annotations alone are enough, and predictions are scored by the official rule', async () => {
    const annotation = (question_id: number, answers: readonly string[]) => ({
      ...{ question_id, image_id: 1, question_type: 'what is', answer_type: 'other' },
      answers: answers.map((answer, i) => ({ answer, answer_id: i + 1 })),
    });
    const ten = (some: readonly string[]): string[] => Array.from({ length: 10 }, (_, i) => some[i % some.length]);
    const annotations = [annotation(1, ten(['a cat', 'dog'])), annotation(2, ten(['a cat']))];
    const labels = put({ data_subtype: 'val2014', annotations });
    const predictions = put([1, 2].map((question_id) => ({ question_id, answer: 'cat' })));
    // When all annotators say "a cat", "cat" is wrong: the official program normalises answers only when the annotators differ.
    expect(await scoreFile({ task: 'vqa', labels, predictions })).toMatchObject({
      accuracy: 0.5,
      byType: { other: 0.5 },
      byQuestionType: { 'what is': 0.5 },
    });
  });
});

describe('missing and surplus entries', () => {
  const labels = at('nlvr2-valid.json');
  const predictions = at('nlvr2-missing_predict.csv');

  test('missing predictions are an error that gives their number; on request they count as wrong answers', async () => {
    const options = { task: 'nlvr2', labels, predictions } as const;
    await refused(scoreFile(options), 'BAD_DATA', predictions, '2 of 200', 'dev-838-3-1', '--missing-wrong');
    const whole = await scoreFile({ ...options, predictions: at('nlvr2-valid_predict.csv') });
    const wrong = await scoreFile({ ...options, missing: 'wrong' });
    expect(wrong).toMatchObject({ questions: 200, missing: 2 });
    expect(wrong.accuracy).toBeLessThanOrEqual(whole.accuracy);
    expect(await scoreFile({ ...options, missing: 'skip' })).toMatchObject({ questions: 198, missing: 2 });
  });

  test('predictions of other questions are counted and left out', async () => {
    const csv = put(`${readFileSync(at('nlvr2-valid_predict.csv'), 'utf8')}dev-9999-0-0,True\n`, 'more.csv');
    const score = await scoreFile({ task: 'nlvr2', labels, predictions: csv });
    expect(score).toMatchObject({ accuracy: expected.nlvr2.accuracy, questions: 200, unknown: 1 });
    const other = put('test1-1-0-0,True\n', 'other.csv');
    await refused(
      scoreFile({ task: 'nlvr2', labels, predictions: other, missing: 'skip' }),
      'BAD_DATA',
      'no prediction is for',
    );
  });

  test('missing labels are counted', async () => {
    const questions = put([{ question_id: 1, img_id: 'a', sent: 'what?' }]);
    const said = put([{ question_id: 1, answer: 'net' }]);
    await refused(
      scoreFile({ task: 'vqa', labels: questions, predictions: said }),
      'BAD_DATA',
      '1 of 1',
      'no labels',
      questions,
    );
  });
});

describe('normalisation of VQA answers', () => {
  test.each([
    // Articles, case, spaces, number words
    ['  The  Cat ', 'cat'],
    ['an apple a day', 'apple day'],
    ['None', '0'],
    ['ten', '10'],
    ['twenty', 'twenty'],
    ['line\nbreak\tand tab', 'line break and tab'],
    // Only contractions of the official list
    ['dont', "don't"],
    ['whos there', "who's there"],
    ["couldnt've", "couldn't've"],
    ["couldn'tve", "couldn't've"],
    ['couldntve', 'couldntve'],
    ["ow's'at", "'ow's'at"],
    ["somebody'd", 'somebodyd'],
    ['its', 'its'],
    ['Im', 'im'],
    // Punctuation: a mark next to a space is removed, any other mark becomes a space
    ['red/blue', 'red blue'],
    ['red / blue', 'red blue'],
    ['t-shirt', 't shirt'],
    ['black-and- white', 'blackand white'],
    ['yes!', 'yes'],
    ['"stop"', 'stop'],
    ["man's", "man's"],
    // If a comma is between digits, all marks are removed
    ['1,000', '1000'],
    ['1,000 t-shirts', '1000 tshirts'],
    ['1, 000', '1 000'],
    // A full stop before a digit is kept
    ['3.5', '3.5'],
    ['U.S.', 'us'],
    ['no.', 'no'],
    ['.5', '.5'],
    ['.'.repeat(40), '.'.repeat(8)],
    ['', ''],
    ['constructor', 'constructor'],
  ])('%j becomes %j', (answer, normal) => expect(normalizeVqaAnswer(answer)).toBe(normal));
});

describe('accuracy by ten annotators', () => {
  const ten = (...answers: string[]): string[] => [
    ...answers,
    ...Array.from({ length: 10 - answers.length }, (_, i) => `x${i}`),
  ];

  test.each([
    [0, 0],
    [1, 0.3],
    [2, 0.6],
    [3, 0.9],
    [4, 1],
    [7, 1],
  ])('%i equal answers give %d', (equal, accuracy) => {
    expect(annotatorAccuracy(ten(...Array.from({ length: equal }, () => 'red')), 'red')).toBeCloseTo(accuracy, 12);
  });

  test('answers are normalised when the annotators differ, and compared unchanged when all agree', () => {
    expect(annotatorAccuracy(ten('The cat', 'cat', 'cat.', 'a cat'), 'cat!')).toBe(1);
    expect(
      annotatorAccuracy(
        Array.from({ length: 10 }, () => 'the cat'),
        'cat',
      ),
    ).toBe(0);
    expect(
      annotatorAccuracy(
        Array.from({ length: 10 }, () => ' the cat\n'),
        'the cat',
      ),
    ).toBe(1);
  });

  test('soft labels give each different answer its accuracy', () => {
    const labels = softLabels(['red', 'red', 'Red', 'a pink', 'pink', ...Array.from({ length: 5 }, () => 'red')]);
    expect(labels.map(({ answer }) => answer)).toEqual(['red', 'pink']);
    expect(labels[0].score).toBe(1);
    expect(labels[1].score).toBeCloseTo(0.6, 12);
  });
});

test('all picture pairs of one statement are in the same group', () => {
  expect(statementOf('dev-838-3-1')).toBe(statementOf('dev-838-0-1'));
  expect(statementOf('dev-838-3-1')).not.toBe(statementOf('dev-838-3-0'));
});

describe('lxmert score', () => {
  const table = { score: () => import('../../src/cli/score.js') };

  test('--json prints one object', async () => {
    const { code, out, err } = await command(
      table,
      ...['score', 'nlvr2', '--labels', at('nlvr2-dev.json'), '--predictions', at('nlvr2-valid_predict.csv'), '--json'],
    );
    expect([code, err]).toEqual([0, '']);
    const { accuracy, consistency, examples: questions } = expected.nlvr2;
    expect(JSON.parse(out)).toMatchObject({ accuracy, consistency, questions });
  });

  test('prints a table without --json', async () => {
    const { code, out } = await command(
      table,
      ...['score', 'vqa', '--labels', at('vqa-minival.json'), '--predictions', at('vqa-minival_predict.json')],
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^accuracy of 200 questions +50\.2 %$/m);
    expect(out).toMatch(/^ {2}yes\/no +63\.0 %$/m);
  });

  test('refuses missing predictions with the code 1; --missing-wrong scores them and says how many', async () => {
    const args = [
      'score',
      'nlvr2',
      '--labels',
      at('nlvr2-valid.json'),
      '--predictions',
      at('nlvr2-missing_predict.csv'),
    ];
    const { code, out, err } = await command(table, ...args, '--json');
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('2 of 200');
    const wrong = await command(table, ...args, '--missing-wrong', '--json');
    expect(wrong.code).toBe(0);
    expect(wrong.err).toContain('2 questions have no prediction');
    expect(JSON.parse(wrong.out)).toMatchObject({ questions: 200, missing: 2 });
  });
});

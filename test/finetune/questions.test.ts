import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { detectTask, readQuestions } from '../../src/finetune/questions/index.js';
import type { QuestionTask } from '../../src/finetune/questions/index.js';
import { statementOf } from '../../src/finetune/scores/index.js';
import { fileFolder, fixture, questionsOf, refused } from './support.js';

const { put, remove } = fileFolder();
afterAll(remove);
const read = (name: string) => JSON.parse(readFileSync(fixture(name), 'utf8'));
const lines = (values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');

/** Two questions in each format, and the expected result of reading them. */
const vqaList = [
  {
    ...{ question_id: 458752000, img_id: 'COCO_train2014_000000458752', sent: 'What is this?' },
    ...{ label: { net: 1, fence: 0.3 }, answer_type: 'other', question_type: 'what is' },
  },
  { question_id: 7, img_id: 'COCO_val2014_000000000042', sent: 'Is it?' },
];
const officialQuestions = {
  ...{ info: { year: 2017 }, task_type: 'Open-Ended', license: {}, data_subtype: 'train2014' },
  questions: [
    { question_id: 458752000, image_id: 458752, question: 'What is this?' },
    { question_id: 42000, image_id: 42, question: 'Is it "red", [or] {blue}?' },
  ],
  data_type: 'mscoco',
};
const annotation = (id: number, answers: readonly string[]) => ({
  ...{ question_id: id, image_id: 458752, answer_type: 'other', question_type: 'what is' },
  multiple_choice_answer: answers[0],
  answers: answers.map((answer, i) => ({ answer, answer_confidence: 'yes', answer_id: i + 1 })),
});
const ten = (...some: string[]): string[] => Array.from({ length: 10 }, (_, i) => some[i % some.length]);
const officialAnnotations = {
  ...{ info: {}, license: {}, data_subtype: 'train2014' },
  annotations: [annotation(42000, ten('The net', 'net')), annotation(458752000, ten('red', 'blue'))],
  data_type: 'mscoco',
};
const gqaPublished = {
  '07333408': {
    ...{ imageId: '2375429', question: 'What is this?', answer: 'pipe', groups: { global: null }, isBalanced: true },
    types: { structural: 'query', semantic: 'cat', detailed: 'categoryThat' },
  },
  '00000012': { imageId: 'n12', question: 'Is it?', types: { structural: 'verify', semantic: null } },
};

describe('VQA', () => {
  test('the format in which the original re-distributes it', async () => {
    const [first, second] = await questionsOf('vqa', put(vqaList));
    expect(first).toEqual({
      id: '458752000',
      imageIds: ['COCO_train2014_000000458752'],
      sentence: 'What is this?',
      labels: [
        { answer: 'net', score: 1 },
        { answer: 'fence', score: 0.3 },
      ],
      annotators: undefined,
      mainAnswer: undefined,
      types: { answer_type: 'other', question_type: 'what is' },
    });
    expect(second).toMatchObject({ id: '7', labels: undefined, types: {} });
    const real = await questionsOf('vqa', fixture('scores/vqa-minival.json'));
    expect(real.map(({ id }) => Number(id))).toEqual(
      read('scores/vqa-minival.json').map(({ question_id }: { question_id: number }) => question_id),
    );
    expect(real.filter(({ labels }) => labels!.length === 0).length).toBeGreaterThan(0);
  });

  test('official: questions and annotations in two files, in any order, joined by id', async () => {
    const files = [put(officialAnnotations), put(officialQuestions)];
    const [first, second] = await questionsOf('vqa', files);
    expect(first).toMatchObject({
      id: '458752000',
      imageIds: ['COCO_train2014_000000458752'],
      sentence: 'What is this?',
      annotators: ten('red', 'blue'),
      mainAnswer: 'red',
      types: { answer_type: 'other', question_type: 'what is' },
    });
    expect(first.labels!.map(({ answer }) => answer)).toEqual(['red', 'blue']);
    expect(second).toMatchObject({ id: '42000', sentence: 'Is it "red", [or] {blue}?', mainAnswer: 'net' });
    expect(second.labels).toEqual([{ answer: 'net', score: 1 }]);
    expect(await questionsOf('vqa', files.join(','))).toHaveLength(2);
  });

  test('official questions without annotations have no labels; the pictures of test-dev are those of test2015', async () => {
    const { questions, ...rest } = officialQuestions;
    // Here the field data_subtype follows the questions.
    const test = put({ questions, ...rest, data_subtype: 'test-dev2015' });
    const [first] = await questionsOf('vqa', test);
    expect(first).toMatchObject({ imageIds: ['COCO_test2015_000000458752'], labels: undefined });
  });

  test('official annotations alone are enough for labels, but for nothing else', async () => {
    const file = put(officialAnnotations);
    expect((await questionsOf('vqa', file, true)).map(({ id }) => id)).toEqual(['42000', '458752000']);
    await refused(questionsOf('vqa', file), 'BAD_ARGUMENT', file, 'QUESTIONS,ANNOTATIONS');
    await refused(questionsOf('vqa', [file, file]), 'BAD_ARGUMENT', 'both contain annotations');
    const few = put({ ...officialAnnotations, annotations: [officialAnnotations.annotations[0]] });
    await refused(questionsOf('vqa', [put(officialQuestions), few]), 'BAD_DATA', few, '458752000', 'questions[0]');
  });
});

describe('GQA', () => {
  test('the format in which the original re-distributes it', async () => {
    const questions = await questionsOf('gqa', fixture('scores/gqa-testdev.json'));
    expect(questions).toHaveLength(200);
    expect(questions[1]).toMatchObject({
      id: '01037742',
      imageIds: ['2274419'],
      labels: [{ answer: 'alien', score: 1 }],
    });
  });

  test('the published format, with and without answers', async () => {
    const [first, second] = await questionsOf('gqa', put(gqaPublished));
    expect(first).toMatchObject({
      id: '07333408',
      imageIds: ['2375429'],
      labels: [{ answer: 'pipe', score: 1 }],
      types: { structural: 'query', semantic: 'cat', detailed: 'categoryThat' },
    });
    expect(second).toMatchObject({ id: '00000012', labels: undefined, types: { structural: 'verify' } });
  });
});

describe('NLVR2', () => {
  test('the format of the original and that of lil-lab give the same questions', async () => {
    const published = await questionsOf('nlvr2', fixture('scores/nlvr2-dev.json'));
    expect(published).toHaveLength(200);
    expect(await questionsOf('nlvr2', fixture('scores/nlvr2-valid.json'))).toEqual(published);
    expect(published[0]).toMatchObject({
      id: 'dev-564-1-0',
      imageIds: ['dev-564-1-img0', 'dev-564-1-img1'],
      labels: [{ answer: 'False', score: 1 }],
    });
  });

  test('the questions of the first lines of test1 have the right numbers of sentences and groups', async () => {
    const questions = await questionsOf('nlvr2', fixture('nlvr2/test1-head.json'));
    expect(questions).toHaveLength(40);
    expect(new Set(questions.map(({ id }) => statementOf(id))).size).toBe(12);
    expect(new Set(questions.map(({ sentence }) => sentence)).size).toBe(12);
    expect(questions.filter(({ labels }) => labels![0].answer === 'True')).toHaveLength(20);
  });
});

describe("the user's own format", () => {
  const own = [
    { id: 'q1', image: 'a', question: 'what colour?', answer: 'red', type: 'colour' },
    { id: 2, images: ['b'], question: 'what colour?', answers: { red: 1, pink: 0.3 } },
    { id: 'q3', image: 'c', question: 'what colour?', answers: ten('Red', 'the red', 'pink') },
    { id: 'q4', image: 'd', question: 'what colour?' },
  ];

  test.each([
    ['a list', own],
    ['a JSON object a line', `\n${lines(own)}`],
    ['lines with CR LF and a byte order mark', `\uFEFF${lines(own).replaceAll('\n', '\r\n')}`],
  ])('as %s', async (_, content) => {
    const [first, second, third, fourth] = await questionsOf('qa', put(content));
    expect(first).toMatchObject({
      id: 'q1',
      imageIds: ['a'],
      labels: [{ answer: 'red', score: 1 }],
      types: { type: 'colour' },
    });
    expect(second).toMatchObject({ id: '2', imageIds: ['b'] });
    expect(second.labels).toEqual([
      { answer: 'red', score: 1 },
      { answer: 'pink', score: 0.3 },
    ]);
    expect(third.annotators).toEqual(own[2].answers);
    expect(third.labels!.map(({ answer }) => answer)).toEqual(['red', 'pink']);
    expect(fourth.labels).toBeUndefined();
  });

  test('a question can have two pictures', async () => {
    const [question] = await questionsOf('qa', put([{ id: 1, images: ['a', 'b'], question: 'same?', answer: 'yes' }]));
    expect(question.imageIds).toEqual(['a', 'b']);
  });
});

test('reading returns the number of questions and the number of those with labels', async () => {
  expect(await readQuestions({ task: 'vqa', files: put(vqaList) }, () => undefined)).toEqual({
    questions: 2,
    labelled: 1,
  });
});

describe('detectTask finds the task of a file by the format of its first question', () => {
  test.each<[QuestionTask, () => string]>([
    ['vqa', () => put(vqaList)],
    ['vqa', () => put(officialQuestions)],
    ['vqa', () => put(JSON.stringify(officialAnnotations, null, 1))],
    ['gqa', () => fixture('scores/gqa-testdev.json')],
    ['gqa', () => put(gqaPublished)],
    ['gqa', () => put(JSON.stringify(gqaPublished, null, 1))],
    ['nlvr2', () => fixture('scores/nlvr2-dev.json')],
    ['nlvr2', () => fixture('scores/nlvr2-valid.json')],
    ['qa', () => put([{ id: 1, question: 'what?', image: 'a' }])],
    ['qa', () => put(lines([{ id: 1, question: 'what?', image: 'a' }]))],
  ])('%s', async (task, file) => expect(await detectTask(file())).toBe(task));

  test('a file in another format is refused', async () => {
    for (const content of [[{ img_id: 'a' }], {}, [], [3]]) {
      const file = put(content);
      await refused(detectTask(file), 'BAD_DATA', file);
    }
  });
});

describe('the error for a bad file names file, place and field', () => {
  const vqa = (...more: object[]) => [vqaList[0], ...more.map((fields) => ({ ...vqaList[1], ...fields }))];
  const line = { identifier: 'dev-1-0-0', sentence: 'two dogs', label: 'True' };
  const mine = { id: 1, image: 'a', question: 'what?', answer: 'red' };

  test.each<[string, QuestionTask, unknown, string[]]>([
    ['an empty file', 'vqa', '', ['is empty']],
    ['an empty list', 'gqa', [], ['no GQA questions in it']],
    ['an object without questions', 'vqa', { info: {} }, ['neither', '"questions"', '"annotations"']],
    ['an empty object', 'gqa', {}, ['no GQA questions in it']],
    ['something else', 'nlvr2', 'identifier,label\n', ['begins with', 'identifier,label']],
    ['a number for a question', 'vqa', [3], ['[0] must be an object']],
    [
      'a duplicate id',
      'vqa',
      vqa({ question_id: 458752000 }),
      ['[1].question_id', '458752000', 'question 1', 'unique'],
    ],
    ['a duplicate id in two spellings', 'qa', [mine, { ...mine, id: '1' }], ['[1].id is 1']],
    [
      'a duplicate id as a key',
      'gqa',
      '{"07": {"imageId": "1", "question": "a"}, "07": {"imageId": "1", "question": "a"}}',
      ['"07"', 'unique'],
    ],
    ["VQA's id as a string", 'vqa', vqa({ question_id: '7' }), ['[1].question_id must be a whole number', '"7"']],
    [
      "GQA's id as a number",
      'gqa',
      [{ question_id: 7333408, img_id: 'a', sent: 'b' }],
      ['[0].question_id must be a string', '7333408', 'zeros'],
    ],
    ['no picture', 'vqa', vqa({ img_id: undefined }), ['[1].img_id must be a string', 'found nothing']],
    ['an empty sentence', 'vqa', vqa({ sent: '' }), ['[1].sent']],
    ['a label that is no object', 'vqa', vqa({ label: 'net' }), ['[1].label must be an object']],
    ['a score above 1', 'vqa', vqa({ label: { net: 2 } }), ['[1].label["net"]', 'from 0 to 1', '2']],
    [
      'one picture missing',
      'nlvr2',
      [{ identifier: 'a-1-0-0', img0: 'a', sent: 'b', label: 1 }],
      ['[0].img1', 'found nothing'],
    ],
    [
      'a label that is neither 0 nor 1',
      'nlvr2',
      [{ identifier: 'a-1-0-0', img0: 'a', img1: 'b', sent: 'c', label: 2 }],
      ['[0].label', '0 or 1'],
    ],
    ['a line that is no JSON', 'nlvr2', `${JSON.stringify(line)}\n{"identifier":\n`, ['line 2 is not JSON']],
    ['a line without an identifier', 'nlvr2', lines([line, { sentence: 'a' }]), ['line 2: identifier']],
    [
      'an identifier of another form',
      'nlvr2',
      lines([{ ...line, identifier: 'dev' }]),
      ['line 1: identifier', 'split-set-pair-sentence'],
    ],
    ['a label of another form', 'nlvr2', lines([{ ...line, label: 'maybe' }]), ['line 1: label', 'maybe']],
    ['types that are a list', 'gqa', { '07': { imageId: '1', question: 'a', types: [] } }, ['"07".types']],
    ['a field of another name', 'qa', [{ ...mine, anwser: 'red' }], ['[0].anwser', 'id, image']],
    ['image and images', 'qa', [{ ...mine, images: ['a'] }], ['[0].images']],
    ['three pictures', 'qa', [{ id: 1, images: ['a', 'b', 'c'], question: 'd' }], ['[0].images', 'one or two']],
    ['one picture and two', 'qa', [mine, { id: 2, images: ['a', 'b'], question: 'd' }], ['[1].id', '2 images', '1']],
    ['answer and answers', 'qa', [{ ...mine, answers: { red: 1 } }], ['[0].answers']],
    [
      'too few annotators',
      'qa',
      [{ id: 1, image: 'a', question: 'b', answers: ['red'] }],
      ['[0].answers', 'at least 4'],
    ],
    [
      'an annotator without an answer',
      'qa',
      [{ id: 1, image: 'a', question: 'b', answers: ['red', 'red', 3, 'red'] }],
      ['[0].answers[2]'],
    ],
    ['a cut list', 'vqa', JSON.stringify(vqaList).slice(0, -10), ['cut off']],
    ['a cut object', 'gqa', JSON.stringify(gqaPublished).slice(0, -10), ['"00000012"', 'cut off']],
    ['a cut list in an object', 'vqa', JSON.stringify(officialQuestions).slice(0, 200), ['questions[1]', 'cut off']],
    ['an object with a comma too many', 'gqa', '{"07": {"imageId": "1", "question": "a"},}', ['entry 2']],
    [
      'something behind the object',
      'gqa',
      '{"07": {"imageId": "1", "question": "a"}} x',
      ['near line 1', 'after the end'],
    ],
    ['a key without a colon', 'gqa', '{"07"}', ['entry 1']],
    [
      'text that is not UTF-8',
      'nlvr2',
      Buffer.concat([Buffer.from(JSON.stringify(line)), Buffer.of(0xff)]),
      ['line 1', 'UTF-8'],
    ],
    [
      'an annotation without answers',
      'vqa',
      { data_subtype: 'train2014', questions: [{ question_id: 1, image_id: 2 }] },
      ['questions[0].question'],
    ],
    [
      'official questions that name no part of COCO',
      'vqa',
      { questions: [{ question_id: 1, image_id: 2, question: 'a' }] },
      ['data_subtype'],
    ],
  ])('%s', async (_, task, content, words) => {
    const file = put(content);
    await refused(questionsOf(task, file), 'BAD_DATA', file, ...words);
  });

  test('a missing file, two files where one is expected, and no file', async () => {
    await refused(questionsOf('gqa', '/nowhere/gqa.json'), 'FILE_MISSING', '/nowhere/gqa.json', 'GQA questions');
    await refused(questionsOf('nlvr2', 'a.json,,b'), 'BAD_ARGUMENT', 'name of a file');
    const file = fixture('scores/gqa-testdev.json');
    await refused(questionsOf('gqa', [file, file]), 'BAD_ARGUMENT', 'one file was expected');
  });
});

test('reading ends when its signal is aborted', async () => {
  const signal = AbortSignal.abort(new Error('enough of it'));
  const reading = readQuestions({ task: 'gqa', files: put(gqaPublished), signal }, () => undefined);
  await expect(reading).rejects.toThrow('enough of it');
});

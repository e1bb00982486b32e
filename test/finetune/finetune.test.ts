import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { evaluate, finetune, openModel, predict } from '../../src/finetune/index.js';
import { readMetrics, type MetricsRecord, type TrainObserver } from '../../src/train/index.js';
import { questionScenes, smallModel } from './questionScenes.js';
import { refused } from './support.js';

jest.setTimeout(240_000);

let folder: string;
let data: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-finetune-'));
  data = await questionScenes(join(folder, 'data'), 24);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Flags = Readonly<Record<string, string>>;

const usual: Flags = {
  ...smallModel,
  task: 'vqa',
  train: 'train',
  valid: 'valid',
  lr: '1e-3',
  'batch-size': '8',
  'max-steps': '6',
  'valid-every': '3',
  'save-every': '2',
  device: 'cpu',
  threads: '1',
};

const run = (
  out: string,
  flags: Flags = {},
  rest: { resume?: boolean; observer?: TrainObserver; signal?: AbortSignal } = {},
) => finetune({ sources: { flags: { ...usual, data, out: join(folder, out), ...flags } }, ...rest });

async function metricsOf(out: string): Promise<object[]> {
  const records: object[] = [];
  for await (const record of readMetrics(join(folder, out, 'metrics.jsonl'))) {
    const { samplesPerSecond: _, ...rest } = record as MetricsRecord & { samplesPerSecond?: number };
    records.push(rest);
  }
  return records;
}

const bytesOf = (out: string, file: string) => readFileSync(join(folder, out, 'checkpoints/last', file));

async function weightsOf(out: string, name: string): Promise<Float32Array> {
  await using file = await SafetensorsFile.open(join(folder, out, 'checkpoints/last/model.safetensors'));
  return await file.readFloat32(name);
}

/** Euclidean norm of the difference of two vectors. */
const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

const word = 'lxmert.embeddings.word_embeddings.weight';
const unread = 'lxmert.encoder.x_layers.1.visn_output.dense.weight';
const read = 'lxmert.encoder.x_layers.1.lang_output.dense.weight';
const head = 'answer_head.logit_fc.3.weight';

test('a resumed run gives the results of a run that was not stopped', async () => {
  const flags = { 'hidden-dropout-prob': '0.1', 'micro-batch-size': '3', 'head-lr': '3e-3' };
  const whole = await run('whole', flags);
  expect(whole).toMatchObject({ step: 6, finished: true });
  const stop = new AbortController();
  const observer: TrainObserver = { stepDone: ({ step }) => step === 3 && stop.abort() };
  const half = await run('halves', flags, { observer, signal: stop.signal });
  expect(half.finished).toBe(false);
  expect(half.step).toBeLessThan(6);
  expect(await run('halves', flags, { resume: true })).toMatchObject({ step: 6, finished: true });
  expect(await metricsOf('halves')).toEqual(await metricsOf('whole'));
  for (const file of ['model.safetensors', 'optimizer-00000.safetensors', 'trainer_state.json', 'task.json'])
    expect(bytesOf('halves', file).equals(bytesOf('whole', file))).toBe(true);
});

test('the best checkpoint has the highest score; of equal scores, the first counts', async () => {
  const { best } = await run('best', { 'valid-every': '1' });
  const scores = (await metricsOf('best')).flatMap((record) =>
    'score' in record ? [record as { step: number; score: number }] : [],
  );
  expect(scores).toHaveLength(6);
  const highest = Math.max(...scores.map(({ score }) => score));
  expect(best).toMatchObject({ step: scores.find(({ score }) => score === highest)?.step, score: highest });
});

describe('what is trained', () => {
  test('parameters that no output depends on do not change, not even by weight decay; all others change', async () => {
    await run('start', { 'max-steps': '1', valid: 'none' });
    await run('moved', { valid: 'none' });
    // The first step has learning rate 0.
    expect(await weightsOf('moved', unread)).toEqual(await weightsOf('start', unread));
    for (const name of [word, read, head])
      expect(await weightsOf('moved', name)).not.toEqual(await weightsOf('start', name));
  });

  test('frozen parts do not change', async () => {
    await run('frozen', { valid: 'none', freeze: 'wordEmbeddings,crossLayers' });
    for (const name of [word, read]) expect(await weightsOf('frozen', name)).toEqual(await weightsOf('start', name));
    expect(await weightsOf('frozen', head)).not.toEqual(await weightsOf('start', head));
  });

  test('the head can have another learning rate', async () => {
    await run('fast', { valid: 'none', 'max-steps': '2', 'head-lr': '1e-2' });
    await run('slow', { valid: 'none', 'max-steps': '2' });
    const [start, slow, fast] = await Promise.all(['start', 'slow', 'fast'].map((out) => weightsOf(out, head)));
    expect(distance(fast, start) / distance(slow, start)).toBeCloseTo(10, 2);
    // The norm for clipping the gradient is summed in another order.
    expect(distance(await weightsOf('fast', word), await weightsOf('slow', word))).toBeLessThan(1e-6);
  });

  test('a batch in parts gives the same step as the whole batch', async () => {
    await run('parts', { valid: 'none', 'micro-batch-size': '3' });
    const [parts, whole] = [await weightsOf('parts', read), await weightsOf('moved', read)];
    expect(distance(parts, whole)).toBeLessThan(1e-4);
  });
});

test('evaluation, the last validation and the score of the predictions agree', async () => {
  const request = { task: 'vqa', checkpoint: join(folder, 'whole/checkpoints/last'), data, splits: ['valid'] } as const;
  const { evaluation, predicted } = await evaluate({ ...request, engine: { device: 'cpu', threads: 1 } });
  const last = (await metricsOf('whole')).at(-1) as { score: number };
  expect(evaluation.accuracy).toBeCloseTo(last.score, 10);
  expect(evaluation).toMatchObject({ withoutFeatures: 0, questions: predicted.predictions.length });
  const top = await predict({ ...request, top: 3, limit: 5, batchSize: 2, engine: { device: 'cpu', threads: 1 } });
  expect(top.predictions).toHaveLength(5);
  for (const { answer, ranked } of top.predictions) {
    expect(ranked).toHaveLength(3);
    expect(ranked?.[0].answer).toBe(answer);
  }
});

test('statements about two pictures can be trained on, scored and predicted', async () => {
  const flags = { task: 'nlvr2', from: join(folder, 'whole/checkpoints/last') };
  const notes: string[] = [];
  const { lastValidation } = await run('pairs', flags, { observer: { note: (text) => notes.push(text) } });
  expect(notes.join('\n')).toContain('the answer head has new random weights');
  const engine = { device: 'cpu', threads: 1 } as const;
  const { evaluation } = await evaluate({
    task: 'nlvr2',
    checkpoint: join(folder, 'pairs/checkpoints/last'),
    data,
    splits: ['valid'],
    engine,
  });
  expect(evaluation.accuracy).toBeCloseTo(lastValidation?.score ?? NaN, 10);
  expect(evaluation.consistency).toBeDefined();
  await using model = await openModel(join(folder, 'pairs'), engine);
  expect(model).toMatchObject({ pictures: 2, answers: ['False', 'True'] });
  const picture = { features: new Float32Array(2 * 128).fill(0.5), boxes: new Float32Array(8).fill(0.5) };
  const answers = await model.answer([picture, picture], 'both pictures have a red circle');
  expect(answers.map(({ answer }) => answer).sort()).toEqual(['False', 'True']);
  expect(answers.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 6);
  await refused(model.answer(picture, 'one picture'), 'BAD_ARGUMENT', 'takes two');
});

test('a model gives answers, hidden states and attention for one question or for many', async () => {
  await using model = await openModel(join(folder, 'whole'), { device: 'cpu', threads: 1, batchSize: 2 });
  const picture = (seed: number) => ({
    features: Float32Array.from({ length: (2 + seed) * 128 }, (_, i) => Math.sin(i + seed)),
    boxes: new Float32Array((2 + seed) * 4).fill(0.25),
  });
  const questions = [0, 1, 2, 3, 4].map((seed) => ({ picture: picture(seed), question: `is there a ${seed} circle?` }));
  const all = await model.answerAll(questions, { top: 2 });
  const single = await Promise.all(
    questions.map(({ picture: own, question }) => model.answer(own, question, { top: 2 })),
  );
  expect(all).toHaveLength(5);
  all.forEach((ranked, i) => {
    expect(ranked.map(({ answer }) => answer)).toEqual(single[i].map(({ answer }) => answer));
    ranked.forEach(({ probability }, k) => expect(probability).toBeCloseTo(single[i][k].probability, 5));
  });
  const { tokens, pooled, language, vision } = await model.encode(picture(1), 'a red circle');
  expect(tokens).toEqual(['[CLS]', 'a', 'red', 'circle', '[SEP]']);
  expect([pooled.length, language.length, vision.length]).toEqual([24, 5 * 24, 3 * 24]);
  const maps = await model.attention(picture(1), 'a red circle');
  expect(maps.size).toBe(1 + 1 + 4 * 2);
  for (const [name, { heads, queries, keys, probabilities }] of maps) {
    expect([name, probabilities.length]).toEqual([name, heads * queries * keys]);
    for (let row = 0; row < heads * queries; row++)
      expect(probabilities.subarray(row * keys, (row + 1) * keys).reduce((a, b) => a + b)).toBeCloseTo(1, 4);
  }
  expect(maps.get('cross_vision_to_lang.1')).toMatchObject({ heads: 2, queries: 3, keys: 5 });
  await refused(model.match(picture(1), 'a red circle'), 'UNSUPPORTED', 'belong together');
});

describe('data of the user', () => {
  const lines = (text: string) => writeFileSync(join(data, 'own.jsonl'), text);
  const own = (line: object) => `${JSON.stringify(line)}\n`;
  const images = () => {
    const scenes = JSON.parse(readFileSync(join(data, 'train.json'), 'utf8')) as readonly { img_id: string }[];
    return scenes.map(({ img_id }) => img_id);
  };
  const flags = { task: 'qa', answers: '', 'max-steps': '2', 'valid-every': '2' };
  beforeAll(() => {
    const yaml = readFileSync(join(data, 'data.yaml'), 'utf8');
    writeFileSync(join(data, 'data.yaml'), yaml.replaceAll('    sentences:', '    qa: own.jsonl\n    sentences:'));
    writeFileSync(join(data, 'answers.json'), '["yes", "no"]');
  });

  test('a run needs no more than a file with one question a line', async () => {
    lines(
      images()
        .map((image, i) => own({ id: i, image, question: 'is it there?', answer: i % 2 ? 'yes' : 'no' }))
        .join(''),
    );
    const answers = join(data, 'answers.json');
    const qa = { ...flags, answers, train: 'train', valid: 'none' };
    expect(await run('own', qa)).toMatchObject({ step: 2, finished: true });
  });

  test.each<[string, string, Flags, () => string, string[]]>([
    [
      'no answer of the list',
      'BAD_DATA',
      {},
      () => own({ id: 1, image: images()[0], question: 'what?', answer: 'perhaps' }),
      ['own.jsonl', 'answer list', 'perhaps'],
    ],
    [
      'pictures without features',
      'BAD_DATA',
      {},
      () => own({ id: 1, image: 'nowhere', question: 'what?', answer: 'yes' }),
      ['own.jsonl', '1 of 1', 'nowhere'],
    ],
    [
      'no labels',
      'BAD_DATA',
      {},
      () => own({ id: 7, image: images()[0], question: 'what?' }),
      ['no labels', 'such as 7'],
    ],
    ['an empty file', 'BAD_DATA', {}, () => '', ['own.jsonl', 'empty']],
    [
      'an id twice',
      'BAD_DATA',
      {},
      () => own({ id: 1, image: images()[0], question: 'what?', answer: 'yes' }).repeat(2),
      ['own.jsonl', 'unique'],
    ],
    ['an unknown split', 'BAD_ARGUMENT', { train: 'autumn' }, () => '{}', ['autumn', 'known: train, valid']],
  ])('%s is refused', async (_, code, more, text, words) => {
    lines(text());
    const all = { ...flags, answers: join(data, 'answers.json'), train: 'train', valid: 'none', ...more };
    await refused(run(`refused-${words.length}-${code}-${Math.random()}`, all), code, ...words);
  });
});

describe('a model that does not fit is refused', () => {
  const engine = { device: 'cpu', threads: 1 } as const;
  const checkpoint = () => join(folder, 'whole/checkpoints/last');

  test('a checkpoint of another task', () =>
    refused(
      evaluate({ task: 'gqa', checkpoint: checkpoint(), data, splits: ['valid'], engine }),
      'BAD_CHECKPOINT',
      'fine-tuned for vqa, not for gqa',
    ));

  test('a checkpoint with another vocabulary', async () => {
    const pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...'abcdefghijklmnopqrstuvwxyz'.split('')];
    const put = (name: string, more: readonly string[]): string => {
      writeFileSync(join(folder, name), [...pieces, ...more].join('\n'));
      return join(folder, name);
    };
    const short = { 'max-steps': '1', valid: 'none' };
    await run('few', { ...short, vocabulary: put('few.txt', []) });
    const from = join(folder, 'few/checkpoints/last');
    expect(readFileSync(join(from, 'vocab.txt'), 'utf8')).toContain('[MASK]');
    await refused(run('more', { ...short, from, vocabulary: put('more.txt', ['it']) }), 'BAD_CONFIG', '31 words', '32');
    // Without --vocabulary, the checkpoint's vocabulary is used.
    expect(await run('same', { ...short, from })).toMatchObject({ finished: true });
  });

  test('a resumed run with other settings', () =>
    refused(
      run(
        'whole',
        { 'hidden-dropout-prob': '0.1', 'micro-batch-size': '3', 'head-lr': '3e-3', loss: 'hard' },
        { resume: true },
      ),
      'BAD_CONFIG',
      'loss',
    ));

  test('a missing checkpoint', () => refused(run('none', { from: join(folder, 'nothing') }), 'FILE_MISSING'));
});

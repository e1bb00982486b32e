/**
 * Tests that no work is lost: checkpoints near validations, on request, and those that are never removed; longer runs;
 * required files of a checkpoint.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { appendFile, mkdtemp, readFile, readdir, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LxmertError } from '../../src/errors.js';
import type { PretrainParts } from '../../src/pretrain/index.js';
import { pretrain } from '../../src/pretrain/pretrain.js';
import { learningRate, lookIntoRun, type SaveRequest, type TrainObserver } from '../../src/train/index.js';
import { fakeParts, type FakeOptions } from './support/fakeParts.js';
import { fakeRun, metricsOf, newestFiles, shortRun } from './support/runs.js';

let parent: string;
let out: string;
let serial = 0;
const fresh = (): string => join(parent, `run-${serial++}`);
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'work-'));
});
beforeEach(() => {
  out = fresh();
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const steps = async (run: string): Promise<readonly number[]> => (await lookIntoRun(run)).checkpoints;

/** Fake parts with the given number of good validations; the next validation fails. */
function failingValidation(works: number, fake: FakeOptions = {}): PretrainParts {
  const parts = fakeParts(fake);
  let made = 0;
  return {
    ...parts,
    openData: async (config) => {
      const data = await parts.openData(config);
      async function* validate() {
        if (made++ >= works) throw new LxmertError('BAD_DATA', 'valid.tsv, line 3: features: a number is NaN');
        yield* data.source.validate();
      }
      return { ...data, source: { ...data.source, validate } };
    },
  };
}

interface Options {
  readonly flags?: Readonly<Record<string, string>>;
  readonly parts?: PretrainParts;
  readonly resume?: boolean;
  readonly observer?: TrainObserver;
  readonly saveRequest?: SaveRequest;
}

function run(folder: string, { flags = {}, parts = fakeParts(), ...request }: Options = {}) {
  return pretrain({ sources: { flags: { ...shortRun(folder), ...flags } }, ...request }, parts);
}

describe('a validation that fails', () => {
  test('loses no step: the checkpoint of its step is saved, and the run continues from there', async () => {
    const straight = fresh();
    await fakeRun(straight);
    // The validations after steps 4 and 8 work; the one after step 12 fails. Saves are due after steps 6 and 12.
    await expect(run(out, { parts: failingValidation(2) })).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(
        /^the validation after step 12 failed \(the checkpoint of step 12 is unchanged\): valid\.tsv, line 3/,
      ),
    });
    expect((await steps(out)).at(-1)).toBe(12);
    await run(out, { resume: true });
    expect(await metricsOf(out)).toEqual(await metricsOf(straight));
    expect(await newestFiles(out)).toEqual(await newestFiles(straight));
  });

  test('loses no step even if no checkpoint was due', async () => {
    await expect(run(out, { parts: failingValidation(0) })).rejects.toThrow('the checkpoint of step 4 is unchanged');
    expect(await steps(out)).toEqual([4]);
    await expect(run(out, { resume: true, parts: failingValidation(0) })).rejects.toThrow('validation after step 4');
    expect(await steps(out)).toEqual([4]);
  });

  test('comes after the checkpoint of the same step', async () => {
    const order: string[] = [];
    await run(out, {
      observer: {
        saved: (_, step) => order.push(`saved ${step}`),
        validated: ({ step }) => order.push(`validated ${step}`),
      },
    });
    expect(order.indexOf('saved 12')).toBeLessThan(order.indexOf('validated 12'));
    expect(order.indexOf('saved 23')).toBeLessThan(order.indexOf('validated 23'));
  });
});

test('a kill between the line of a validation and its checkpoint does not double the line', async () => {
  const straight = fresh();
  await fakeRun(straight);
  await expect(run(out, { parts: failingValidation(2) })).rejects.toThrow('validation after step 12');
  // The same state as if the process had been killed after it wrote the line and before it saved.
  const line = (await readFile(join(straight, 'metrics.jsonl'), 'utf8'))
    .split('\n')
    .find((text) => text.includes('"split"') && text.startsWith('{"step":12,'));
  await appendFile(join(out, 'metrics.jsonl'), `${line}\n`);
  await run(out, { resume: true });
  expect(await metricsOf(out)).toEqual(await metricsOf(straight));
});

test('on request, the run saves after the current step, and continues', async () => {
  const saveRequest = { wanted: false };
  const saved: number[] = [];
  const observer: TrainObserver = {
    stepDone: ({ step }) => {
      if (step === 8) saveRequest.wanted = true;
    },
    saved: (_, step) => saved.push(step),
  };
  const { finished } = await run(out, { saveRequest, observer, flags: { valid: 'none' } });
  expect(finished).toBe(true);
  // Step 9 is already enqueued when step 8 is recorded.
  expect(saved).toEqual([6, 9, 12, 18, 23].map((step) => (step === 9 ? expect.any(Number) : step)));
  expect([8, 9, 10]).toContain(saved[1]);
  expect(saveRequest.wanted).toBe(false);
});

test('--keep-every keeps the checkpoint at the end of every Nth epoch', async () => {
  await run(out, { flags: { 'keep-every': '2', keep: '1', valid: 'none' } });
  // An epoch has 5 steps.
  expect(await steps(out)).toEqual([10, 20, 23]);
});

describe('a longer run on --resume', () => {
  test.each([
    { flags: { 'max-steps': '40' }, total: 40 },
    { flags: { epochs: '8', 'max-steps': undefined }, total: 40 },
  ])('continues after its old end with the learning rate of the longer run: $flags', async ({ flags, total }) => {
    const notes: string[] = [];
    await run(out);
    const before = await metricsOf(out);
    const given = { ...shortRun(out), ...flags };
    const sources = { flags: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
    const longer = () =>
      pretrain({ sources, resume: true, observer: { note: (text) => notes.push(text) } }, fakeParts());
    expect(await longer()).toMatchObject({ step: total, totalSteps: total, finished: true });
    const all = await metricsOf(out);
    expect(all.slice(0, before.length)).toEqual(before);
    const rates = all.flatMap(({ step, lr }) => (lr === undefined ? [] : [[step as number, lr as number]]));
    for (const [step, lr] of rates)
      expect(lr).toBe(learningRate(step - 1, { lr: 0.05, warmup: 0.05, totalSteps: step <= 23 ? 23 : total }));
    expect(rates.map(([step]) => step)).toEqual(Array.from({ length: total }, (_, i) => i + 1));
    expect(notes.join('\n')).toMatch(/the run now ends after step 40; it was planned to end after step 23/);
    expect(await longer()).toMatchObject({ finished: true, step: total });
  });

  test('keeps the moments: a kill after the old end does not change the results', async () => {
    const straight = fresh();
    await run(straight);
    await run(straight, { resume: true, flags: { 'max-steps': '40' } });
    await run(out);
    const resumed = (fake: FakeOptions) =>
      run(out, { resume: true, flags: { 'max-steps': '40' }, parts: fakeParts(fake) });
    await expect(resumed({ failAfter: 10 })).rejects.toThrow('cut short');
    await resumed({});
    expect(await metricsOf(out)).toEqual(await metricsOf(straight));
    expect(await newestFiles(out)).toEqual(await newestFiles(straight));
  });

  test('is refused if it is shorter', async () => {
    await run(out);
    const shorter = run(out, { resume: true, flags: { 'max-steps': '22' } });
    await expect(shorter).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('not shorter'),
    });
  });
});

describe('a newest checkpoint with a file that is missing or cut', () => {
  const files = [
    'model.safetensors',
    'optimizer-00000.safetensors',
    'trainer_state.json',
    'config.json',
    'answers.json',
  ];
  test.each([
    ...files.flatMap((file) => [[file, 'missing'] as const, [file, 'cut'] as const]),
    ['vocab.txt', 'cut'],
    ['checksums.json', 'cut'],
  ])('%s is %s: the message says how to continue', async (file, damage) => {
    const parts = fakeParts({ failAfter: 15 });
    const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'];
    const withVocabulary = (inner: PretrainParts): PretrainParts => ({
      ...inner,
      openData: async (config) => ({ ...(await inner.openData(config)), vocabulary }),
    });
    await expect(run(out, { parts: withVocabulary(parts) })).rejects.toThrow('cut short');
    const newest = await realpath(join(out, 'checkpoints/last'));
    const path = join(newest, file);
    if (damage === 'missing') await rm(path);
    else await truncate(path, Math.floor((await readFile(path)).length / 2));
    const resumed = run(out, { resume: true, parts: withVocabulary(fakeParts()) });
    await expect(resumed).rejects.toMatchObject({
      code: expect.stringMatching(/^(BAD_CHECKPOINT|FILE_MISSING|BAD_DATA)$/),
      message: expect.stringMatching(
        new RegExp(`[Mm]ove ${newest} away, and --resume continues from the checkpoint before it`),
      ),
    });
    await rm(newest, { recursive: true });
    expect((await run(out, { resume: true, parts: withVocabulary(fakeParts()) })).finished).toBe(true);
  });

  test('a checkpoint of an older version, without a vocabulary, is loaded', async () => {
    await expect(run(out, { parts: fakeParts({ failAfter: 15 }) })).rejects.toThrow('cut short');
    const parts = fakeParts();
    const openData: PretrainParts['openData'] = async (config) => ({
      ...(await parts.openData(config)),
      vocabulary: ['a'],
    });
    await run(out, { resume: true, parts: { ...parts, openData } });
    expect(await readFile(join(out, 'checkpoints/last/vocab.txt'), 'utf8')).toBe('a\n');
  });
});

describe('a data source that gives wrong values is refused', () => {
  const broken = (change: (data: Awaited<ReturnType<PretrainParts['openData']>>) => object): PretrainParts => {
    const parts = fakeParts();
    return {
      ...parts,
      openData: async (config) => {
        const data = await parts.openData(config);
        return { ...data, ...change(data) };
      },
    };
  };
  test.each([0, NaN, -1, 1.5, Infinity, undefined])('batchesPerEpoch %p', async (batchesPerEpoch) => {
    const parts = broken(({ source }) => ({ source: { ...source, batchesPerEpoch } }));
    await expect(run(out, { parts })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: `batchesPerEpoch of the data source must be a whole number from 1, not ${batchesPerEpoch}`,
    });
  });
  test.each(['vocabSize', 'visualFeatDim', 'numQaLabels'])('facts.%s', async (name) => {
    const parts = broken(({ facts }) => ({ facts: { ...facts, [name]: NaN } }));
    await expect(run(out, { parts })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });
  test('a batch with a wrong position, a batch without parts, and a source that ends', async () => {
    const parts = fakeParts();
    const train = async function* (from: { epoch: number; batch: number }, change: object) {
      for await (const batch of (await parts.openData({} as never)).source.train(from)) {
        yield { ...batch, ...change };
        if ('end' in change) return;
      }
    };
    const withBatches = (change: object) =>
      broken(({ source }) => ({
        source: { ...source, train: (from: { epoch: number; batch: number }) => train(from, change) },
      }));
    for (const [change, message] of [
      [{ position: { epoch: 0, batch: NaN } }, 'gave batch NaN of epoch 0; batch 0 of epoch 0 was expected'],
      [{ parts: [] }, 'batch 0 of epoch 0 has no parts'],
      [{ end: true }, 'ended before step 2'],
    ] as const)
      await expect(run(fresh(), { parts: withBatches(change) })).rejects.toMatchObject({
        code: 'BAD_ARGUMENT',
        message: expect.stringContaining(message),
      });
  });
});

test('a checkpoint or the folder of the checkpoints is refused as a run folder', async () => {
  await run(out);
  for (const wrong of [join(out, 'checkpoints/last'), join(out, 'checkpoints')])
    for (const resume of [true, false])
      await expect(run(wrong, { resume })).rejects.toMatchObject({
        code: 'RUN_FOLDER',
        message: expect.stringMatching(new RegExp(`the folder of the run is expected: ${out}$`)),
      });
  expect(await readdir(join(out, 'checkpoints'))).not.toContain('run.lock');
});

test('a run uses the vocabulary of its initial weights, unless another is given', async () => {
  const folder = fresh();
  await run(folder, { flags: { 'max-steps': '1', valid: 'none' } });
  const init = await realpath(join(folder, 'checkpoints/last'));
  await writeFile(join(init, 'vocab.txt'), '[UNK]\na\n');
  const seen: unknown[] = [];
  const parts = fakeParts();
  const watched: PretrainParts = {
    ...parts,
    openData: (config) => (seen.push(config.data.vocabulary), parts.openData(config)),
  };
  const flags = { init, 'max-steps': '2', valid: 'none' };
  await run(out, { flags, parts: watched });
  await run(fresh(), { flags: { ...flags, vocabulary: 'mine.txt' }, parts: watched });
  expect(seen).toEqual([join(init, 'vocab.txt'), 'mine.txt']);
});

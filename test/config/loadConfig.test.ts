import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfigFile } from '../../src/config/configFile.js';
import { forbiddenChanges } from '../../src/config/changes.js';
import { configFields } from '../../src/config/fields.js';
import { loadRunConfig } from '../../src/config/loadConfig.js';
import { nearest } from '../../src/config/nearest.js';
import type { ConfigTree } from '../../src/config/presets.js';
import { resolveRunConfig } from '../../src/config/resolveConfig.js';

let folder: string;
let serial = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function yaml(text: string): Promise<string> {
  const path = join(folder, `${serial++}.yaml`);
  await writeFile(path, text);
  return path;
}

describe('layers', () => {
  test('the defaults are those of the paper', async () => {
    const config = await loadRunConfig({});
    expect(config).toMatchObject({
      batchSize: 256,
      epochs: 20,
      data: { train: ['train'], valid: ['valid'], maxTokens: 20, wordMaskRate: 0.15, objectMaskRate: 0.15 },
      optimizer: { lr: 1e-4, warmup: 0.05, beta1: 0.9, beta2: 0.999, eps: 1e-6, weightDecay: 0.01, maxGradNorm: 1 },
      model: { lLayers: 9, rLayers: 5, xLayers: 5, hiddenSize: 768 },
      tasks: { on: ['maskedLm', 'matched', 'objects', 'qa'], weights: { qa: 1 }, schedule: { qa: { from: 0 } } },
    });
    expect(config.model.numQaLabels).toBeUndefined();
  });

  test('flags override the file, the file overrides the preset, the preset overrides the defaults', async () => {
    const file = await yaml('preset: tiny\noptimizer:\n  lr: 5e-3\n  warmup: 0.2\nseed: 3\ndata: {train: "a, b"}\n');
    const config = await loadRunConfig({ file, flags: { lr: '7e-3', 'visual-losses': 'feat' } });
    expect(config.optimizer).toMatchObject({ lr: 7e-3, warmup: 0.2, beta1: 0.9 });
    expect(config).toMatchObject({ seed: 3, batchSize: 64, data: { train: ['a', 'b'] } });
    expect(config.model.hiddenSize).toBe(96);
    expect(config.tasks.visualLosses).toEqual(['feat']);
    expect((await loadRunConfig({ file, preset: 'base' })).batchSize).toBe(256);
  });

  test('epochs in one source replace maxSteps in another, and the reverse', async () => {
    expect(await loadRunConfig({ preset: 'tiny', flags: { epochs: '3' } })).not.toHaveProperty('maxSteps');
    const steps = await loadRunConfig({ preset: 'base', flags: { 'max-steps': '3' } });
    expect(steps.epochs).toBeUndefined();
    expect(steps.maxSteps).toBe(3);
    await expect(loadRunConfig({ flags: { 'max-steps': '3', epochs: '1' } })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: '--max-steps: give epochs or maxSteps, not both; got 3',
    });
  });

  test('a resolved description written as JSON describes the same run', async () => {
    const config = await loadRunConfig({ preset: 'paper', flags: { out: 'x', data: 'd', threads: '2' } });
    const facts = { vocabSize: 30522, visualFeatDim: 2048, numObjectLabels: 1600, numAttrLabels: 400, numQaLabels: 77 };
    const resolved = resolveRunConfig(config, facts);
    const file = await yaml(JSON.stringify(resolved, null, 2));
    const again = await loadRunConfig({ file });
    expect(again).toEqual(resolved);
    expect(forbiddenChanges(resolved, again)).toEqual([]);
    expect(await loadRunConfig({ saved: resolved, flags: { threads: '4' } })).toEqual({ ...resolved, threads: 4 });
  });

  test('a resumed run may change where it runs, not what it computes', async () => {
    const saved = await loadRunConfig({ preset: 'tiny' });
    expect(forbiddenChanges(saved, await loadRunConfig({ saved, flags: { threads: '1', device: 'cpu' } }))).toEqual([]);
    expect(forbiddenChanges(saved, await loadRunConfig({ saved, flags: { lr: '1', tasks: 'qa' } }))).toEqual([
      'tasks.on (--tasks): was ["maskedLm","matched","objects","qa"], is ["qa"]',
      `optimizer.lr (--lr): was ${saved.optimizer.lr}, is 1`,
    ]);
  });
});

test('a setting that did not exist when a run was started had its default', async () => {
  const { residentFeatures: _, ...data } = (await loadRunConfig({})).data;
  const saved = { ...(await loadRunConfig({})), data } as unknown as ConfigTree;
  expect(forbiddenChanges(saved, await loadRunConfig({ saved }))).toEqual([]);
  const on = await loadRunConfig({ saved, flags: { 'resident-features': 'true' } });
  expect(forbiddenChanges(saved, on)).toEqual(['data.residentFeatures (--resident-features): was false, is true']);
});

describe('flags', () => {
  test('every setting has one flag and a description', () => {
    const flags = configFields.map(({ flag }) => flag);
    expect(new Set(flags).size).toBe(flags.length);
    for (const field of configFields) expect(field.description).not.toBe('');
    expect(flags).toEqual(
      expect.arrayContaining(['data', 'out', 'train', 'lr', 'tasks', 'visual-losses', 'hidden-size', 'qa-from-epoch']),
    );
  });

  test.each<[Record<string, string>, RegExp]>([
    [{ lr: 'fast' }, /^--lr "fast": expected a number$/],
    [{ lr: '' }, /^--lr "": expected a number$/],
    [{ lr: '-1' }, /^--lr: expected more than 0; got -1$/],
    [{ warmup: '1' }, /^--warmup: expected less than 1; got 1$/],
    [{ threads: '1025' }, /^--threads: expected at most 1024; got 1025$/],
    [{ lr: 'Infinity' }, /^--lr "Infinity": expected a number$/],
    [{ 'batch-size': '0' }, /^--batch-size: expected at least 1; got 0$/],
    [{ 'batch-size': '2.5' }, /^--batch-size: expected a whole number; got 2.5$/],
    [{ seed: '99999999999' }, /^--seed: /],
    [{ tasks: 'qa,matchd' }, /^--tasks: there is no 'matchd'\. Did you mean 'matched'\?$/],
    [{ tasks: '' }, /^--tasks: expected at least one; got \[\]$/],
    [{ tasks: 'qa,qa' }, /^--tasks: a name is given twice; got \["qa","qa"\]$/],
    [{ device: 'gpu' }, /^--device: there is no 'gpu'\./],
    [{ train: 'a b' }, /^--train: a split name/],
    [{ train: 'none' }, /^--train: /],
    [{ 'hidden-size': '100' }, /hiddenSize \(100\) must be a multiple of numAttentionHeads \(12\)/],
    [{ 'max-tokens': '600' }, /^--max-tokens: 600 tokens need as many positions/],
    [{ 'visual-losses': '' }, /^--visual-losses: the task 'objects' needs one/],
    [{ 'micro-batch-size': '300' }, /^--micro-batch-size: it is larger than batchSize \(256\)/],
    [{ 'resident-features': 'maybe' }, /^--resident-features "maybe": expected true or false$/],
    [{ lrr: '1' }, /^unknown flag --lrr\. Did you mean 'lr'\?/],
  ])('refuses %j', async (flags, message) => {
    await expect(loadRunConfig({ flags })).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });

  test('refuses an unknown preset', async () => {
    await expect(loadRunConfig({ preset: 'tinny' })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: "--preset: there is no preset 'tinny'. Did you mean 'tiny'?",
    });
  });
});

describe('files', () => {
  test.each<[string, RegExp]>([
    ['optimizer:\n  learning_rate: 1', /:2: unknown setting 'learning_rate' in 'optimizer'\. Known here: lr, /],
    ['seed: 1\n\nbatchsize: 3', /:3: unknown setting 'batchsize'\. Did you mean 'batchSize'\?/],
    ['seed: 1\nseed: 2', /:2: .*unique/],
    ['a: [1', /:\d: /],
    ['- 1', /:1: expected settings/],
    ['seed: x', /:1: seed: expected a number; got "x"/],
    ['optimizer: {lr: .nan}', /:1: optimizer\.lr: expected a number; got NaN/],
    ['seed:', /:1: seed: expected a number; got null/],
    ['seed: 1\n---\nseed: 2', /:2: a second description begins after '---'; expected one/],
    ['['.repeat(5000), /:1: it is nested too deeply to be read/],
    ['seed: 1\noptimizer:\n  lr: 0', /:3: optimizer\.lr: .*; got 0/],
    ['optimizer: 3', /:1: 'optimizer' contains settings \(lr, .*\); got 3/],
    ['optimizer:', /:1: 'optimizer' contains settings/],
    ['preset: huge', /:1: there is no preset 'huge'/],
    ['preset: [1]', /:1: there is no preset/],
    ['epochs: 1\nmaxSteps: 2', /:2: maxSteps: give epochs or maxSteps/],
    ['? [a]\n: 1', /:1: /],
    ['model:\n  hiddenSize: 90', /model\.numAttentionHeads.*must be a multiple/],
    ['data: {train: []}', /:1: data\.train/],
    ['tasks: {on: [qa, 3]}', /:1: tasks\.on\.1: expected "maskedLm" or .* or "qa"; got 3/],
    ['__proto__: {seed: 3}', /unknown setting '__proto__'/],
    ['a: &a [*a]', /unknown setting 'a'/],
  ])('refuses %j', async (text, message) => {
    const file = await yaml(text);
    const error = await loadRunConfig({ file }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'BAD_CONFIG', message: expect.stringMatching(message) });
    if (!/^model/.test(text)) expect((error as Error).message).toContain(file);
  });

  test('an empty file is a run of defaults; a missing one is named', async () => {
    expect(await loadRunConfig({ file: await yaml('# nothing\n') })).toEqual(await loadRunConfig({}));
    await expect(loadRunConfig({ file: join(folder, 'gone.yaml') })).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(loadRunConfig({ file: folder })).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: `${folder}: it is a folder, not a file (EISDIR); expected a description of a run`,
    });
  });

  test('any text is either a valid description or gives BAD_CONFIG', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'seed: \n-[]{}&*!|>"\'#%@?,ab01'.split('')) }), (text) => {
        try {
          parseConfigFile(text, 'f');
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_CONFIG' });
        }
      }),
      { numRuns: 1000, seed: 2019 },
    );
  });
});

test('sizes come from the data, and must agree with it', async () => {
  const facts = { vocabSize: 100, visualFeatDim: 16, numObjectLabels: 4 };
  const config = await loadRunConfig({ preset: 'tiny' });
  expect(resolveRunConfig(config, facts).model).toMatchObject({
    vocabSize: 100,
    visualFeatDim: 16,
    numObjectLabels: 4,
  });
  const larger = await loadRunConfig({ preset: 'tiny', flags: { 'vocab-size': '128' } });
  expect(resolveRunConfig(larger, facts).model.vocabSize).toBe(128);
  for (const flags of [{ 'vocab-size': '99' }, { 'visual-feat-dim': '17' }, { 'num-object-labels': '3' }]) {
    const bad = await loadRunConfig({ preset: 'tiny', flags });
    expect(() => resolveRunConfig(bad, facts)).toThrow(/leave it out to take it from the data/);
  }
});

test.each([
  ['batch_size', 'batchSize'],
  ['bacthSize', 'batchSize'],
  ['batch', 'batchSize'],
  ['sede', 'seed'],
  ['x', undefined],
  ['quite-another', undefined],
])('the nearest name to %s is %s', (name, expected) => {
  expect(nearest(name, ['batchSize', 'seed', 'out', 'help'])).toBe(expected);
});

/** Steps with features on the device must give the same bits as steps whose batches contain the features. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import type { EngineOptions } from '../../src/engine/index.js';
import { plainSum, type StepResult } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, residentBatches, smallConfig } from '../support/batches.js';
import { emulator } from '../support/emulator.js';

const config = smallConfig();
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const models: Pretrainer[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.dispose();
});

async function open(engine: EngineOptions): Promise<Pretrainer> {
  const model = new Pretrainer({ config, adam, engine });
  models.push(model);
  await model.initialize(3);
  return model;
}

const cuda = (precision: 'float32' | 'bfloat16'): EngineOptions => ({
  device: 'cuda',
  precision,
  cudaLibrary: emulator!,
});
const devices: [string, EngineOptions][] = [
  ['cpu', { device: 'cpu', threads: 2 }],
  ...(emulator
    ? ([
        ['emulated cuda float32', cuda('float32')],
        ['emulated cuda bfloat16', cuda('bfloat16')],
      ] as [string, EngineOptions][])
    : []),
];

// Capacities repeat, so that steps are replayed; the last batches are in parts.
const batches = [5, 5, 5, 5, 40, 9, 9].map((samples, i) => randomBatch(config, i, { samples }));
const { plain, resident, table } = residentBatches(batches, config.visualFeatDim);
const steps = (all: readonly Batch[]): Batch[][] => [...all.slice(0, 5).map((batch) => [batch]), all.slice(5)];

async function train(model: Pretrainer, all: readonly Batch[]) {
  const results: Promise<StepResult>[] = steps(all).map((parts, step) =>
    model.step(parts, { step, learningRate: 1e-2 / (1 + step), seed: 5, weights: plainSum }),
  );
  const settled = await Promise.all(results);
  const state = new Map<string, Float32Array>();
  for (const { name } of model.parameters)
    for (const kind of ['parameter', 'secondMoment'] as const)
      state.set(`${kind} ${name}`, await model.read(kind, name));
  return { results: settled, evaluated: await model.evaluate(all[4], plainSum), state };
}

describe.each(devices)('features on the device: %s', (_, engine) => {
  test('steps, accumulation and evaluation are the same to the bit', async () => {
    const expected = await train(await open(engine), plain);
    const model = await open(engine);
    const shares: number[] = [];
    await model.loadFeatures(table, { progress: (share) => shares.push(share) });
    expect(shares.at(-1)).toBe(1);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(await train(model, resident)).toEqual(expected);
    expect(expected.results.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  });

  test('batches with and without their own features, alternating', async () => {
    const [model, apart] = [await open(engine), await open(engine)];
    await model.loadFeatures(table);
    const mixed = resident.map((batch, i) => (i % 2 === 0 ? batch : plain[i]));
    expect(await train(model, mixed)).toEqual(await train(apart, plain));
  });
});

describe('a table of features', () => {
  const cpu: EngineOptions = { device: 'cpu', threads: 1 };
  const rowBytes = 2 * config.visualFeatDim;

  test('needs two bytes for each number, and its batches need almost no memory for features', async () => {
    const [model, apart] = [await open(cpu), await open(cpu)];
    await model.loadFeatures(table);
    expect(model.engine.memory().features).toBe(table.rows * rowBytes);
    const [own, other] = [await model.memoryFor([resident[4]], plainSum), await apart.memoryFor([plain[4]], plainSum)];
    expect(own.features).toBe(table.rows * rowBytes);
    const objects = plain[4].objectLabels.length;
    expect(other.inputs - own.inputs).toBeGreaterThan(2 * objects * (4 * config.visualFeatDim - 4));
  });

  test('adds only two ops to a step, because features have no gradient', async () => {
    const opsOf = async (model: Pretrainer, batch: Batch): Promise<string[]> => {
      const ops: string[] = [];
      model.engine.observer = (op) => ops.push(op);
      await model.step([batch], { step: 0, learningRate: 0, seed: 5, weights: plainSum });
      return ops;
    };
    const model = await open(cpu);
    await model.loadFeatures(table);
    const own = await opsOf(model, resident[0]);
    expect(own.filter((op) => op === 'gatherFeatures')).toHaveLength(2);
    expect(own.filter((op) => op !== 'gatherFeatures')).toEqual(await opsOf(await open(cpu), plain[0]));
  });

  test('that does not fit is refused before it is read, and the message gives its size', async () => {
    const model = await open(cpu);
    const huge = {
      ...table,
      rows: 2 ** 40,
      pieces: () => {
        throw new Error('was read');
      },
    };
    await expect(model.loadFeatures(huge)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^features of 1099511627776 objects × 18 numbers take 3\.69e\+4 GiB .*arenas of .* do not fit: .* GiB of memory.*residentFeatures/,
      ),
    });
    expect(model.engine.memory().features).toBe(0);
    await expect(
      model.step([plain[0]], { step: 0, learningRate: 0, seed: 5, weights: plainSum }),
    ).resolves.toBeTruthy();
  });

  test('a signal ends loading and reading after the current piece', async () => {
    const model = await open(cpu);
    const controller = new AbortController();
    let [given, ended] = [0, false];
    const watched = {
      ...table,
      async *pieces() {
        try {
          for await (const piece of table.pieces()) {
            given++;
            yield piece;
          }
        } finally {
          ended = true;
        }
      },
    };
    const progress = () => controller.abort();
    const loading = model.loadFeatures(watched, { progress, signal: controller.signal });
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' });
    expect([given, ended]).toEqual([1, true]);
  });

  test('that lacks rows which a batch names: the batch is refused, and the message names the sample', async () => {
    const model = await open(cpu);
    const evaluate = (batch: Batch) => model.evaluate(batch, plainSum);
    const refused = (message: RegExp) => ({ code: 'BAD_DATA', message: expect.stringMatching(message) });
    await expect(evaluate(resident[0])).rejects.toMatchObject(refused(/row of the features \d+ is outside \[-1, 0\)/));
    await model.loadFeatures(table);
    const { residentRows, residentTargets } = resident[0];
    const beyond = { ...resident[0], residentRows: residentRows!.with(2, table.rows) };
    await expect(evaluate(beyond)).rejects.toMatchObject(refused(/^sample sample \d of seed 0: row of the features/));
    const masked = { ...resident[0], residentTargets: residentTargets!.with(0, -1) };
    await expect(evaluate(masked)).rejects.toMatchObject(refused(/row of the targets -1 is outside \[0/));
  });
});

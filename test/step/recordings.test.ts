/** A replayed step gives the same bits as a step whose ops are called one by one. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import type { FeatureTable } from '../../src/data/features/residentFeatures.js';
import type { EngineOptions } from '../../src/engine/index.js';
import { plainSum, type StepResult } from '../../src/pretrain/losses.js';
import { capacitiesOf } from '../../src/step/capacities.js';
import { randomBatch, residentBatches, splitBatch } from '../support/batches.js';
import { batches, config, disposeModels, emulated, kinds, open, stateOf, train, type Step } from './training.js';
import { emulator, withEmulator } from '../support/emulator.js';

afterEach(disposeModels);

const devices: [string, EngineOptions][] = [
  ['cpu', { device: 'cpu', threads: 1 }],
  ...(emulator ? [['emulated cuda', emulated('float32')] as [string, EngineOptions]] : []),
];

/** Makes the same steps with recordings and without. */
async function compare(engine: EngineOptions, steps: readonly Step[], table?: FeatureTable): Promise<void> {
  const [replayed, eager] = [await open(engine, true), await open(engine, false)];
  if (table) for (const model of [replayed, eager]) await model.loadFeatures(table);
  const expected = await train(eager, steps);
  const got = await train(replayed, steps);
  expect(got.results).toEqual(expected.results);
  for (const [name, values] of expected.state) expect([name, got.state.get(name)]).toEqual([name, values]);
  expect(new Set(expected.results.map(({ loss }) => loss)).size).toBe(steps.length);
}

/** Batches of different lengths and the same capacities. */
function alike(): Batch[] {
  const all = batches(5, { samples: 5 });
  expect(new Set(all.map((batch) => JSON.stringify(capacitiesOf(batch)))).size).toBe(1);
  expect(new Set(all.map((batch) => batch.tokenIds.length)).size).toBeGreaterThan(3);
  return all;
}

describe.each(devices)('recordings on %s', (_, engine) => {
  test('varying batches of the same capacities', async () => {
    const all = alike();
    await compare(
      engine,
      all.map((batch) => ({ parts: [batch] })),
    );
  });

  test('batches that grow, so that arenas are reserved anew, and shrink', async () => {
    const sizes = [3, 3, 3, 12, 12, 3, 12, 12];
    const parts = sizes.map((samples, i) => [randomBatch(config, i, { samples })]);
    await compare(
      engine,
      parts.map((each) => ({ parts: each })),
    );
  });

  test('accumulation with two and three parts of equal and different sizes', async () => {
    const splits = [
      [6, 6],
      [6, 6],
      [4, 4, 4],
      [6, 6],
      [1, 11],
      [4, 4, 4],
    ];
    const whole = batches(splits.length, { samples: 12 });
    await compare(
      engine,
      whole.map((batch, i) => ({ parts: splitBatch(batch, splits[i]) })),
    );
  });

  test('losses that are switched on and off', async () => {
    const words = { ...plainSum, matched: 0, obj: 0, attr: 0, feat: 0, qa: 0 };
    const answers = { ...words, maskedLm: 0, qa: 1 };
    const weights = [plainSum, words, plainSum, words, plainSum, answers, words];
    const all = batches(weights.length, { samples: 6 });
    await compare(
      engine,
      all.map((batch, i) => ({ parts: [batch], weights: weights[i] })),
    );
  });

  test('features on the device', async () => {
    const { resident, table } = residentBatches(alike(), config.visualFeatDim);
    await compare(
      engine,
      resident.map((batch) => ({ parts: [batch] })),
      table,
    );
  });

  test('a run that another model continues', async () => {
    const steps = batches(6).map((batch) => ({ parts: [batch] }));
    const whole = await train(await open(engine, true), steps);
    const first = await open(engine, true);
    const before = await train(first, steps.slice(0, 3));
    const second = await open(engine, true);
    for (const { name } of first.parameters)
      for (const kind of kinds) await second.write(kind, name, before.state.get(`${kind} ${name}`)!);
    const after: StepResult[] = [];
    for (const [i, { parts }] of steps.slice(3).entries())
      after.push(await second.step(parts, { step: 3 + i, learningRate: 1e-2 / (4 + i), seed: 5, weights: plainSum }));
    expect([...before.results, ...after]).toEqual(whole.results);
    expect(await stateOf(second)).toEqual(whole.state);
  });

  test('evaluation and memory plans between steps change nothing', async () => {
    const all = batches(4, { samples: 5 });
    const [model, apart] = [await open(engine, true), await open(engine, false)];
    const larger = randomBatch(config, 99, { samples: 30 });
    for (const [step, batch] of all.entries()) {
      const options = { step, learningRate: 1e-2, seed: 5, weights: plainSum };
      const results = [model.step([batch], options), model.evaluate(larger, plainSum)];
      void model.memoryFor([batch], plainSum);
      const expected = [await apart.step([batch], options), await apart.evaluate(larger, plainSum)];
      expect(await Promise.all(results as Promise<unknown>[])).toEqual(expected);
    }
    expect(await stateOf(model)).toEqual(await stateOf(apart));
  });
});

withEmulator(test)('recordings in bfloat16', () =>
  compare(
    emulated('bfloat16'),
    alike().map((batch) => ({ parts: [batch] })),
  ),
);

test('a step is recorded once for each slot', async () => {
  const model = await open({ device: 'cpu', threads: 1 }, true);
  const { engine } = model;
  const record = engine.record.bind(engine);
  let recorded = 0;
  engine.record = (work) => {
    recorded++;
    return record(work);
  };
  await train(
    model,
    batches(6).map((batch) => ({ parts: [batch] })),
  );
  expect(recorded).toBe(2);
});

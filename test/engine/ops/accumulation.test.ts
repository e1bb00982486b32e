/**
 * With dropout, a batch in parts must give the same gradients as the whole batch: masks depend on the global sample,
 * and scales depend on all parts.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Batch } from '../../../src/data/batches/batch.js';
import { lossNames, plainSum, type Tallies } from '../../../src/pretrain/losses.js';
import { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig, splitBatch } from '../../support/batches.js';
import { distance } from '../support/finiteDifference.js';
import { normOf } from '../support/opCase.js';

/** Tolerance for float32 sums in another order, over a whole model. */
const tolerance = 1e-5;

const config = smallConfig({ hiddenDropoutProb: 0.2, attentionProbsDropoutProb: 0.3 });
const batch = randomBatch(config, 17, { samples: 9, firstSample: 30 });
const options = { step: 6, learningRate: 0, seed: 21, weights: { ...plainSum, qa: 2 } };

let model: Pretrainer;
beforeAll(async () => {
  const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 };
  model = new Pretrainer({ config, adam, engine: { device: 'cpu', threads: 2 } });
  await model.initialize(2);
});
afterAll(() => model.dispose());

interface Result {
  readonly tallies: Tallies;
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

async function gradientsOf(parts: readonly Batch[]): Promise<Result> {
  const tallies = await model.gradients(parts, options);
  const gradients = new Map<string, Float32Array>();
  for (const { name } of model.parameters) gradients.set(name, await model.read('gradient', name));
  return { tallies, gradients };
}

/** Parameters whose gradients differ more than they would if float32 sums were only added in another order. */
function differing(a: Result, b: Result): string[] {
  // If a gradient is only a rounding error (the bias of keys), it is compared with the norm of the other gradients.
  const largest = Math.max(...[...b.gradients.values()].map(normOf));
  return [...a.gradients].flatMap(([name, values]) => {
    const wanted = b.gradients.get(name)!;
    const error = normOf(values.map((value, i) => value - wanted[i]));
    return error <= tolerance * Math.max(normOf(wanted), 1e-2 * largest) ? [] : [name];
  });
}

test.each([[[4, 5]], [[1, 1, 1, 1, 1, 1, 1, 1, 1]], [[7, 2]], [[2, 3, 4]]])('parts of %p samples', async (sizes) => {
  const whole = await gradientsOf([batch]);
  const parts = await gradientsOf(splitBatch(batch, sizes));
  expect(differing(parts, whole)).toEqual([]);
  for (const name of lossNames) {
    const [a, b] = [parts.tallies[name], whole.tallies[name]];
    expect({ ...a, lossSum: 0 }).toEqual({ ...b, lossSum: 0 });
    expect(Math.abs(a.lossSum - b.lossSum)).toBeLessThan(tolerance * Math.abs(b.lossSum));
  }
  const all = (result: Result): number[] => [...result.gradients.values()].flatMap((values) => [...values]);
  expect(distance(all(parts), all(whole))).toBeLessThan(tolerance);
});

test('parts in another order give the same gradients', async () => {
  const parts = splitBatch(batch, [2, 3, 4]);
  expect(differing(await gradientsOf(parts.toReversed()), await gradientsOf([batch]))).toEqual([]);
});

test('parts with a wrong position in the batch give other gradients', async () => {
  const forgetful = splitBatch(batch, [4, 5]).map((part) => ({ ...part, firstSample: 30 }));
  expect(differing(await gradientsOf(forgetful), await gradientsOf([batch])).length).toBeGreaterThan(10);
});

test('the same call twice has the same bits', async () => {
  expect(await gradientsOf(splitBatch(batch, [4, 5]))).toEqual(await gradientsOf(splitBatch(batch, [4, 5])));
});

/**
 * The same call must give the same bits with the same number of threads, and values within the tolerance with any other
 * number.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Engine } from '../../../src/engine/index.js';
import { plainSum } from '../../../src/pretrain/losses.js';
import { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../../support/batches.js';
import { tolerances } from '../support/backends.js';
import { distance } from '../support/finiteDifference.js';
import { reserveArenas } from '../support/memory.js';
import { tensorsOf } from '../support/opCase.js';
import { opNames, opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { problemsOf, runOp, type Run } from '../support/runCase.js';

const engines = new Map<string, Engine>();
beforeAll(() => {
  for (const [name, threads] of Object.entries({ one: 1, two: 2, three: 3, again: 3 })) {
    const engine = Engine.create({ device: 'cpu', threads });
    reserveArenas(engine);
    engines.set(name, engine);
  }
});
afterAll(async () => {
  for (const engine of engines.values()) await engine.dispose();
});

/** There must be many rows, so that every thread gets some. */
const sizes = ['large', 'large', 'large', 'small'] as const;

test.each(opNames)('%s', async (op) => {
  for (const [seed, size] of sizes.entries()) {
    const opCase = opTable[op](new Rng(seed), size);
    const runs = new Map<string, Run>();
    for (const [name, engine] of engines) runs.set(name, await runOp(engine, op, opCase.args, { layoutSeed: seed }));
    for (const [threads, run] of runs) {
      const problems = problemsOf(opCase, run, tolerances.float32);
      expect({ seed, threads, problems }).toEqual({ seed, threads, problems: [] });
    }
    for (const tensor of tensorsOf(opCase.args)) {
      const bits = (name: string): Buffer => {
        const values = runs.get(name)!.values(tensor);
        return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      };
      expect({ seed, tensor: tensor.name, equal: bits('three').equals(bits('again')) }).toMatchObject({ equal: true });
    }
  }
});

test('gradients of a model', async () => {
  const config = smallConfig({ hiddenSize: 96 });
  const batch = randomBatch(config, 8, { samples: 24 });
  const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
  const gradientsWith = async (threads: number): Promise<Float32Array[]> => {
    const model = new Pretrainer({ config, adam, engine: { device: 'cpu', threads } });
    await model.initialize(1);
    await model.gradients([batch], { step: 3, learningRate: 0, seed: 4, weights: plainSum });
    const gradients: Float32Array[] = [];
    for (const { name } of model.parameters) gradients.push(await model.read('gradient', name));
    await model.dispose();
    return gradients;
  };
  const [two, again, one] = [await gradientsWith(2), await gradientsWith(2), await gradientsWith(1)];
  expect(two).toEqual(again);
  const all = (list: readonly Float32Array[]): number[] => list.flatMap((values) => [...values]);
  expect(distance(all(two), all(one))).toBeLessThan(tolerances.float32);
});

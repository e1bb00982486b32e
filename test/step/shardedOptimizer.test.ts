/** Compares ranks that shard the optimizer, all in this process, with a model that makes the same steps alone. */
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import { Communicator } from '../../src/engine/index.js';
import { plainSum, type LossWeights, type StepResult } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { firstPart, type StepSharing } from '../../src/step/gradientParts.js';
import { OptimizerSlices } from '../../src/step/optimizerSlices.js';
import { planUpdate } from '../../src/step/updatePlan.js';
import { randomBatch, smallConfig } from '../support/batches.js';
import { kinds } from './training.js';

/** Its word table has several chunks of the optimizer, and the last chunk ends within another tensor. */
const config = smallConfig({ vocabSize: 20011 });
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 0.5 };
const parts = 4;
const bucketBytes = 2 ** 20;

/**
 * The first steps are without question answering, so that the parameters of its head are not updated. The later steps
 * are with it.
 */
const steps: readonly { readonly parts: readonly Batch[]; readonly weights: LossWeights }[] = [0, 1, 2, 3].map(
  (step) => ({
    parts: Array.from({ length: parts }, (_, part) => randomBatch(config, 10 * step + part, { samples: 2 })),
    weights: { ...plainSum, qa: step < 2 ? 0 : 1 },
  }),
);

const models: Pretrainer[] = [];
afterAll(() => Promise.all(models.map((model) => model.dispose())));

async function open(): Promise<Pretrainer> {
  const model = new Pretrainer({ config, adam, engine: { device: 'cpu', threads: 1 } });
  models.push(model);
  await model.initialize(3);
  return model;
}

/** A checksum of each tensor; the tensors are too long for Jest to compare. */
async function stateOf(model: Pretrainer): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { name } of model.parameters)
    for (const kind of kinds) sums.set(`${kind} ${name}`, sumOf(await model.read(kind, name)));
  return sums;
}

const sumOf = (values: Float32Array): number => crc32(new Uint8Array(values.buffer, 0, values.byteLength));

async function connected(ranks: number): Promise<Communicator[]> {
  const token = '0123456789abcdef';
  const waiting = Array.from({ length: ranks }, (_, rank) => Communicator.listen(rank, ranks, token));
  const addresses = waiting.map(({ port }) => ({ host: '127.0.0.1', port }));
  return Promise.all(waiting.map(({ connect }) => connect(addresses)));
}

/** The channel of the ranks: gives each rank the values of all ranks, in their order. */
function channel(ranks: number): (rank: number) => NonNullable<StepSharing['exchange']> {
  const rounds: { values: unknown[]; count: number; settle: (values: unknown[]) => void; all: Promise<unknown[]> }[] =
    [];
  return (rank) => {
    let next = 0;
    return async <T>(_: string, value: T): Promise<readonly T[]> => {
      const at = next++;
      if (!rounds[at]) {
        let settle: (values: unknown[]) => void = () => undefined;
        const all = new Promise<unknown[]>((resolve) => (settle = resolve));
        rounds[at] = { values: [], count: 0, settle, all };
      }
      const round = rounds[at];
      round.values[rank] = value;
      if (++round.count === ranks) round.settle(round.values);
      return (await round.all) as T[];
    };
  };
}

async function makeSteps(model: Pretrainer, first: number, end: number): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const [step, { parts: all, weights }] of steps.entries())
    if (step < 4)
      results.push(
        await model.step(all.slice(first, end), {
          ...{ step, learningRate: 1e-2, seed: 5, weights },
          partOf: all.slice(first, end).map((_, i) => first + i),
        }),
      );
  return results;
}

async function share(models: readonly Pretrainer[], shardOptimizer: boolean): Promise<void> {
  const ranks = models.length;
  const communicators = await connected(ranks);
  const exchange = channel(ranks);
  // Each rank waits for the others.
  await Promise.all(
    models.map((model, rank) =>
      model.share({
        ...{ rank, ranks, parts, bucketBytes, shardOptimizer },
        ...{ communicator: communicators[rank], exchange: exchange(rank) },
      }),
    ),
  );
}

describe('a sharded optimizer', () => {
  let alone: Pretrainer;
  let results: StepResult[];
  let state: Map<string, number>;
  beforeAll(async () => {
    alone = await open();
    await alone.share({ rank: 0, ranks: 1, parts });
    results = await makeSteps(alone, 0, parts);
    state = await stateOf(alone);
  });

  test.each([2, 3, 4])(
    'on %i ranks leaves the same weights and moments, bit for bit, and splits the memory',
    async (ranks) => {
      const all = await Promise.all(Array.from({ length: ranks }, open));
      await share(all, true);
      const made = await Promise.all(
        all.map((model, rank) =>
          makeSteps(model, firstPart({ parts, ranks }, rank), firstPart({ parts, ranks }, rank + 1)),
        ),
      );
      // The norms must be equal, too. They are larger than the limit of clipping.
      for (const of of made) expect(of.map(({ examples: _, ...figures }) => figures)).toEqual(results);
      expect(results[0].gradNorm).toBeGreaterThan(adam.maxGradNorm);
      for (const each of await Promise.all(all.map(stateOf)))
        for (const [name, values] of state) expect([name, each.get(name)]).toEqual([name, values]);

      const whole = alone.engine.memory().state;
      const moments = 2 * alone.weights.bytes;
      const own = all.map((model) => model.engine.memory().state - (whole - moments));
      expect(own.reduce((a, b) => a + b)).toBe(moments);
      expect(Math.max(...own)).toBeLessThanOrEqual(moments / ranks + 2 * 4 * 65536 * 2);
    },
  );

  test('takes its slices of moments that are written', async () => {
    const all = await Promise.all([open(), open()]);
    await share(all, true);
    for (const model of all)
      for (const { name } of model.parameters)
        for (const kind of kinds) await model.write(kind, name, await alone.read(kind, name));
    expect(await Promise.all(all.map(stateOf))).toEqual([state, state]);
    const [{ name }] = all[0].parameters;
    await expect(all[0].read('gradient', name)).rejects.toThrow('no rank has the whole gradient');
    await expect(all[0].write('firstMoment', name, new Float32Array(3))).rejects.toThrow(`${name}: 3 values, expected`);
  });
});

test('a step that is not finite on one rank changes nothing on any rank', async () => {
  const all = await Promise.all([open(), open()]);
  await share(all, true);
  const before = await Promise.all(all.map(stateOf));
  const bad = steps[0].parts.map((batch, i) => {
    if (i < 2) return batch;
    return { ...batch, visualFeats: batch.visualFeats && new Float32Array(batch.visualFeats.length).fill(3e38) };
  });
  const made = await Promise.allSettled(
    all.map((model, rank) =>
      model.step(bad.slice(2 * rank, 2 * rank + 2), {
        ...{ step: 0, learningRate: 1e-2, seed: 5, weights: plainSum, partOf: [2 * rank, 2 * rank + 1] },
      }),
    ),
  );
  expect(made.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await Promise.all(all.map(stateOf))).toEqual(before);
});

test('a plan with a learning rate of its own for one range updates every element once, with the right rate', () => {
  const [cell, bytes] = [4 * 65536, 4 * 65536 * 10];
  const usual = [[64, 2.5 * cell] as const, [3 * cell, 9 * cell - 64] as const];
  const own = [[2.5 * cell, 3 * cell] as const];
  const whole = planUpdate(usual, own, bytes);
  for (const ranks of [1, 2, 3, 5]) {
    const updated: { begin: number; end: number; hasOwnRate: boolean }[] = [];
    for (let rank = 0; rank < ranks; rank++) {
      const plan = planUpdate(usual, own, bytes, new OptimizerSlices({ rank, ranks }, bytes, 3 * cell));
      expect(plan.norm.map(([begin]) => begin)).toEqual(whole.norm.map(([begin]) => begin));
      plan.norm.forEach(([, length], i) => expect([0, whole.norm[i][1]]).toContain(length));
      for (const { stretch } of plan.work)
        for (const [from, length] of stretch?.chunks ?? []) {
          const begin = stretch!.begin + 4 * from;
          updated.push({ begin, end: begin + 4 * length, hasOwnRate: stretch!.hasOwnRate });
        }
    }
    const joined = (isOwn: boolean) =>
      updated
        .filter(({ hasOwnRate }) => hasOwnRate === isOwn)
        .sort((a, b) => a.begin - b.begin)
        .reduce<[number, number][]>((ranges, { begin, end }) => {
          const last = ranges.at(-1);
          if (last?.[1] !== begin) return [...ranges, [begin, end]];
          last[1] = end;
          return ranges;
        }, []);
    expect([joined(false), joined(true)]).toEqual([usual, own]);
  }
});

import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { HostSlots } from '../../src/step/hostSlots.js';
import { capacitiesOf, stagedBytes, stageInto } from '../../src/step/staging.js';
import type { Batch } from '../../src/data/batches/batch.js';
import { Rng } from '../engine/support/rng.js';
import { smallConfig } from '../support/batches.js';

const config = smallConfig();
const featureDim = config.visualFeatDim;
const keys = { step: 7, seed: 3, learningRate: 0.5, lossScale: [1, 2] };
const make = (samples: number, seed: number) => benchBatch(config, { samples, tokens: [8, 16], objects: 6, seed });

describe('stageInto', () => {
  test('leaves nothing of an earlier batch in memory that is used again', () => {
    const [large, small] = [make(24, 1), make(5, 2)];
    const capacities = capacitiesOf(large);
    const bytes = stagedBytes(capacities, featureDim);
    const used = new SharedArrayBuffer(bytes + 64);
    stageInto(used, { batch: large, keys, capacities, featureDim });
    const again = stageInto(used, { batch: small, keys, capacities, featureDim });
    const fresh = stageInto(new SharedArrayBuffer(bytes), { batch: small, keys, capacities, featureDim });
    expect(again.byteLength).toBe(bytes);
    expect(Buffer.from(again).equals(Buffer.from(fresh))).toBe(true);
  });
});

describe('capacitiesOf', () => {
  /** What capacities depend on. */
  const batchOf = (tokens: readonly number[], objects: readonly number[], random: Rng): Batch => {
    const offsets = (lengths: readonly number[]): Int32Array => {
      let end = 0;
      return Int32Array.from([0, ...lengths], (n) => (end += n));
    };
    const rows = (lengths: readonly number[]): number => lengths.reduce((sum, n) => sum + n, 0);
    const masked = (n: number) => ({
      rows: new Int32Array([...Array(n).keys()].filter(() => random.chance(0.15)).length),
    });
    return {
      size: tokens.length,
      tokenIds: new Int32Array(rows(tokens)),
      tokenOffsets: offsets(tokens),
      objectOffsets: offsets(objects),
      objects: { labels: new Int32Array(rows(objects)) },
      maskedTokens: masked(rows(tokens)),
      maskedObjects: masked(rows(objects)),
    } as unknown as Batch;
  };
  const draw = (random: Rng, samples: number, low: number, high: number): number[] =>
    Array.from({ length: samples }, () => random.int(low, high));

  test('have room for all rows, and little more', () => {
    const random = new Rng(1);
    for (let samples = 1; samples < 1500; samples = Math.ceil(samples * 1.7)) {
      const batch = batchOf(draw(random, samples, 5, 20), draw(random, samples, 10, 60), random);
      const c = capacitiesOf(batch);
      const pairs = [
        [batch.tokenIds.length, c.language, 1 / 32],
        [batch.objects.labels.length, c.vision, 1 / 32],
        [batch.maskedTokens.rows.length, c.maskedTokens, 1 / 2],
        [batch.maskedObjects.rows.length, c.maskedObjects, 1 / 2],
      ];
      for (const [rows, capacity, part] of pairs) {
        expect(capacity).toBeGreaterThanOrEqual(rows);
        expect(capacity - rows).toBeLessThan(Math.max(64, part * rows));
        expect(capacity % 64).toBe(0);
      }
    }
  });

  test.each([
    ['36 objects an image', [36, 36], 30],
    ['10 to 60 objects an image', [10, 60], 100],
  ] as const)('few different ones among batches of 256: %s', (_, [fewest, most], different) => {
    const random = new Rng(2);
    const seen = new Set<string>();
    for (let i = 0; i < 300; i++) {
      const batch = batchOf(draw(random, 256, 5, 20), draw(random, 256, fewest, most), random);
      seen.add(JSON.stringify(capacitiesOf(batch)));
    }
    expect(seen.size).toBeLessThan(different / 2); // there are two slots
  });
});

describe('HostSlots', () => {
  test('gives the same memory again, unless it is too small', async () => {
    const slots = new HostSlots({ hostMemory: (bytes) => new ArrayBuffer(bytes) });
    const first = await slots.take(0, 100);
    expect(await slots.take(1, 100)).not.toBe(first);
    expect(await slots.take(0, 50)).toBe(first);
    const larger = await slots.take(0, 101);
    expect(larger).not.toBe(first);
    expect(larger.byteLength).toBe(101);
  });

  test('waits until what was staged there has been copied, or could not be', async () => {
    const slots = new HostSlots({ hostMemory: (bytes) => new ArrayBuffer(bytes) });
    const first = await slots.take(0, 8);
    let copied: () => void = () => undefined;
    slots.lend(0, new Promise<void>((resolve) => (copied = resolve)));
    const order: string[] = [];
    const next = slots.take(0, 8).then((buffer) => {
      order.push('taken');
      return buffer;
    });
    await slots.take(1, 8); // the other slot is free
    order.push('copied');
    copied();
    expect(await next).toBe(first);
    expect(order).toEqual(['copied', 'taken']);
    slots.lend(0, Promise.reject(new Error('the device is gone')));
    expect(await slots.take(0, 8)).toBe(first);
  });
});

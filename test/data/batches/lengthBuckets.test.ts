import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { trainBatches } from '../../../src/data/batches/batching.js';
import type { TrainBatchOptions } from '../../../src/data/batches/batching.js';
import { bucketOrder } from '../../../src/data/batches/lengthBuckets.js';
import { epochOrder } from '../../../src/data/random.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import type { PretrainData } from '../../../src/data/samples/pretrainData.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { TestFolders, testData } from '../support/samples.js';

/** Lengths of 2 to 20 tokens, in no order. */
const size = 1003;
const lengths = Array.from({ length: size }, (_, sample) => 2 + ((sample * 7919) % 19));
const tokenOffsets = Uint32Array.from({ length: size + 1 }, (_, sample) =>
  lengths.slice(0, sample).reduce((sum, length) => sum + length, 0),
);
const shape = { seed: 3, epoch: 1, batchSize: 10, batches: 20 };

/** The difference between the longest and the shortest length in a batch, as the mean over the batches. */
function meanSpan(order: Uint32Array): number {
  const spans = Array.from({ length: 100 }, (_, batch) => {
    const found = [...order.subarray(batch * 10, (batch + 1) * 10)].map((sample) => lengths[sample]);
    return Math.max(...found) - Math.min(...found);
  });
  return spans.reduce((sum, span) => sum + span, 0) / spans.length;
}

describe('the order with length buckets', () => {
  const random = epochOrder(3, 1, size);
  const order = bucketOrder(random, { tokenOffsets }, shape);

  test('has each sample once, and those behind the last whole batch where they were', () => {
    expect([...order].sort((a, b) => a - b)).toEqual(lengths.map((_, sample) => sample));
    expect(order.subarray(1000)).toEqual(random.subarray(1000));
    // Samples stay in their groups.
    expect([...order.subarray(0, 200)].sort()).toEqual([...random.subarray(0, 200)].sort());
  });

  test('gives batches of like lengths, in no order of lengths', () => {
    expect(meanSpan(random)).toBeGreaterThan(12);
    expect(meanSpan(order)).toBeLessThan(3);
    const means = Array.from({ length: 20 }, (_, batch) =>
      [...order.subarray(batch * 10, (batch + 1) * 10)].reduce((sum, sample) => sum + lengths[sample], 0),
    );
    expect(means).not.toEqual(means.toSorted((a, b) => a - b));
  });

  test('keeps the order of the epoch within a batch', () => {
    const placeOf = new Map([...random].map((sample, place) => [sample, place]));
    for (let batch = 0; batch < 100; batch++) {
      const places = [...order.subarray(batch * 10, (batch + 1) * 10)].map((sample) => placeOf.get(sample)!);
      expect(places).toEqual(places.toSorted((a, b) => a - b));
    }
  });

  test('depends on seed and epoch alone', () => {
    expect(bucketOrder(random, { tokenOffsets }, shape)).toEqual(order);
    expect(bucketOrder(random, { tokenOffsets }, { ...shape, epoch: 2 })).not.toEqual(order);
  });
});

describe('batches with length buckets', () => {
  const folders = new TestFolders();
  let data: PretrainData;
  beforeAll(async () => {
    const dir = await folders.make(testData({ images: 40 }));
    data = await openPretrainData({ dir, splits: 'train', wordPiece: await WordPiece.load() });
  });
  afterAll(async () => {
    await data.close();
    await folders.remove();
  });

  async function idsOf(options: Partial<TrainBatchOptions>, count: number): Promise<string[][]> {
    const found: string[][] = [];
    for await (const { parts } of trainBatches(data, { seed: 5, batchSize: 8, bucketBatches: 4, ...options })) {
      found.push(parts.flatMap(({ sampleIds }) => sampleIds));
      if (found.length === count) break;
    }
    return found;
  }

  test('come out the same from any position, and split over ranks', async () => {
    const straight = await idsOf({}, 20);
    expect(await idsOf({ from: { epoch: 0, batch: 9 } }, 11)).toEqual(straight.slice(9));
    const ranks = await Promise.all([0, 1].map((rank) => idsOf({ share: { rank, ranks: 2 } }, 20)));
    expect(straight.map((_, i) => [...ranks[0][i], ...ranks[1][i]])).toEqual(straight);
    expect(await idsOf({ bucketBatches: undefined }, 20)).not.toEqual(straight);
  });

  test('a group of one batch is refused', () => {
    expect(() => trainBatches(data, { seed: 5, batchSize: 8, bucketBatches: 1 })).toThrow(/bucketBatches/);
  });
});

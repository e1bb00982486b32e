import { describe, expect, test } from '@jest/globals';
import { batchOf, type Batch } from '../../src/data/batches/batch.js';
import { capacitiesOf } from '../../src/step/capacities.js';
import { Rng } from '../engine/support/rng.js';

describe('capacitiesOf', () => {
  /** A batch of samples with the given numbers of tokens and objects, on which capacities depend. */
  const batchWith = (tokens: readonly number[], objects: readonly number[], random: Rng): Batch => {
    const offsets = (lengths: readonly number[]): Int32Array => {
      let end = 0;
      return Int32Array.from([0, ...lengths], (n) => (end += n));
    };
    const rows = (lengths: readonly number[]): number => lengths.reduce((sum, n) => sum + n, 0);
    const masked = (n: number) => Int32Array.from([...Array(n).keys()].filter(() => random.chance(0.15)));
    return batchOf({
      sampleIds: tokens.map((_, s) => `${s}`),
      tokenIds: new Int32Array(rows(tokens)),
      tokenOffsets: offsets(tokens),
      objectOffsets: offsets(objects),
      visualFeats: new Float32Array(0),
      visualPos: new Float32Array(4 * rows(objects)),
      maskedTokenRows: masked(rows(tokens)),
      maskedObjectRows: masked(rows(objects)),
    });
  };
  const draw = (random: Rng, samples: number, low: number, high: number): number[] =>
    Array.from({ length: samples }, () => random.int(low, high));

  test('are at least the number of rows, and only a little larger', () => {
    const random = new Rng(1);
    for (let samples = 1; samples < 1500; samples = Math.ceil(samples * 1.7)) {
      const batch = batchWith(draw(random, samples, 5, 20), draw(random, samples, 10, 60), random);
      const c = capacitiesOf(batch);
      const pairs = [
        [batch.tokenIds.length, c.language, 1 / 32],
        [batch.objectLabels.length, c.vision, 1 / 32],
        [batch.maskedTokenRows.length, c.maskedTokens, 1 / 2],
        [batch.maskedObjectRows.length, c.maskedObjects, 1 / 2],
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
      const batch = batchWith(draw(random, 256, 5, 20), draw(random, 256, fewest, most), random);
      seen.add(JSON.stringify(capacitiesOf(batch)));
    }
    expect(seen.size).toBeLessThan(different / 2); // a step is recorded once for each of two slots
  });
});

import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { median, timesOf } from '../../src/bench/statistics.js';
import { checkBatch } from '../../src/step/checkBatch.js';
import { smallConfig } from '../support/batches.js';

const config = smallConfig();
const make = (changes: object = {}) =>
  benchBatch(config, { samples: 40, tokens: [8, 16], objects: 6, seed: 5, ...changes });
const lengths = (offsets: Int32Array): number[] => [...offsets.subarray(1)].map((end, s) => end - offsets[s]);

describe('a random batch', () => {
  test.each([1, 2, 3, 32, 40, 129])('of %i samples has the mean length in the middle', (samples) => {
    const batch = make({ samples });
    expect(batch.tokenOffsets[samples] / samples).toBeCloseTo(12, 10);
    expect(Math.min(...lengths(batch.tokenOffsets))).toBeGreaterThanOrEqual(8);
    expect(Math.max(...lengths(batch.tokenOffsets))).toBeLessThanOrEqual(16);
  });

  test('fits the model, and has 15 % masked rows, never [CLS] or [SEP]', () => {
    const batch = make();
    expect(() => checkBatch(batch, config)).not.toThrow();
    expect(batch.maskedTokenRows.length).toBe(Math.round(0.15 * 40 * 10));
    expect(batch.maskedObjectRows.length).toBe(Math.round(0.15 * 40 * 6));
    expect(new Set(batch.maskedTokenRows).size).toBe(batch.maskedTokenRows.length);
    const edges = new Set([...batch.tokenOffsets].flatMap((offset) => [offset, offset - 1]));
    expect([...batch.maskedTokenRows].filter((row) => edges.has(row))).toEqual([]);
    expect(new Set(lengths(batch.objectOffsets))).toEqual(new Set([6]));
    expect([...batch.answers].map((answer) => (answer >= 0 ? 1 : 0))).toEqual([...batch.matched]);
  });

  test('depends only on the seed', () => {
    expect(make()).toEqual(make());
    expect(make({ seed: 6 }).tokenIds).not.toEqual(make().tokenIds);
  });

  test.each([
    [{ tokens: [2, 8] }, '2 to 8 tokens'],
    [{ tokens: [9, 8] }, '9 to 8 tokens'],
    [{ tokens: [8, 33] }, 'to 32'],
    [{ objects: 0 }, '0 objects'],
    [{ objects: 513 }, '513 objects'],
  ])('%j is refused', (changes, message) => {
    expect(() => make(changes)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
    expect(() => make(changes)).toThrow(message);
  });

  test('a batch that is too large for the memory is refused before anything is drawn', () => {
    expect(() => make({ samples: 1e12 })).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_MEMORY',
        message: expect.stringMatching(/^the features of 1000000000000 samples take 1490 TB, .* take at most \d+$/),
      }),
    );
  });
});

test('the median of an even number of times is the mean of the middle two', () => {
  expect(median([9, 1, 4, 2])).toBe(3);
  expect(median([5, 1, 3])).toBe(3);
  expect(timesOf([9, 1, 4, 2])).toEqual({ median: 3, min: 1, max: 9 });
});

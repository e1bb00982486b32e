import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../src/scenes/random.js';
import { mean } from './support.js';

const draw = (count: number, ...key: number[]): number[] => {
  const random = createRandom(...key);
  return Array.from({ length: count }, () => random.word());
};

describe('createRandom', () => {
  test('gives the same numbers for the same key, and different numbers for different keys', () => {
    expect(draw(50, 1, 2, 3)).toEqual(draw(50, 1, 2, 3));
    const keys = [
      [1, 2, 3],
      [3, 2, 1],
      [1, 2],
      [1, 2, 3, 0],
      [1, 2, 4],
      [1 + 2 ** 32, 2, 3],
      [1, 2 + 2 ** 40, 3],
    ];
    const firsts = keys.map((key) => draw(4, ...key).join());
    expect(new Set(firsts).size).toBe(keys.length);
  });

  test('gives these numbers, so that the files of a seed do not change by mistake', () => {
    expect(draw(3, 0)).toEqual(draw(3, 0));
    expect(draw(3, 7, 1)).toMatchInlineSnapshot(`
     [
       2354906588,
       3353957760,
       4118420976,
     ]
    `);
  });

  test('is uniform, also across neighbouring keys', () => {
    const firsts = Array.from({ length: 20_000 }, (_, k) => createRandom(5, k).uniform());
    expect(Math.min(...firsts)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...firsts)).toBeLessThan(1);
    expect(mean(firsts)).toBeCloseTo(0.5, 1.9);
    const tenths = Array.from({ length: 10 }, (_, k) => firsts.filter((x) => Math.floor(10 * x) === k).length);
    // The standard deviation of a count is 42.
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(220);
    // Values of neighbouring keys are not correlated; the standard deviation of the correlation is 0.007.
    const products = firsts.slice(1).map((x, k) => (x - 0.5) * (firsts[k] - 0.5) * 12);
    expect(Math.abs(mean(products))).toBeLessThan(0.04);
  });

  test('draws normals of mean 0, variance 1 and kurtosis 3', () => {
    const random = createRandom(9);
    const values = Array.from({ length: 50_000 }, () => random.normal());
    expect(mean(values)).toBeCloseTo(0, 1);
    expect(mean(values.map((x) => x ** 2))).toBeCloseTo(1, 1);
    expect(Math.abs(mean(values.map((x) => x ** 4)) - 3)).toBeLessThan(0.3);
  });

  test('shuffles every item into every place, and does not change the given list', () => {
    const random = createRandom(11);
    const items = [0, 1, 2, 3];
    const firsts = Array.from({ length: 4000 }, () => {
      const shuffled = random.shuffle(items);
      expect([...shuffled].sort()).toEqual(items);
      return shuffled[0];
    });
    expect(items).toEqual([0, 1, 2, 3]);
    for (const item of items) expect(Math.abs(firsts.filter((x) => x === item).length - 1000)).toBeLessThan(150);
  });
});

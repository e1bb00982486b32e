import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RandomStream, epochOrder, philox4x32 } from '../../src/data/random.js';

/** Random123's published answers (kat_vectors) for philox4x32, 10 rounds. */
const knownAnswers = [
  { counter: [0, 0, 0, 0], key: [0, 0], out: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    out: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    out: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

describe('Philox 4x32-10', () => {
  test.each(knownAnswers)('known answer for $counter', ({ counter, key, out }) => {
    const block = new Uint32Array(4);
    philox4x32(counter, key, block);
    expect([...block]).toEqual(out);
  });

  test('agrees with the definition in 64-bit integers', () => {
    const word = fc.nat({ max: 0xffffffff });
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        const block = new Uint32Array(4);
        philox4x32(counter, key, block);
        expect([...block]).toEqual(philoxByBigInt(counter, key));
      }),
      { seed: 1 },
    );
  });
});

function philoxByBigInt(counter: readonly number[], key: readonly number[]): number[] {
  const low = (x: bigint) => x & 0xffffffffn;
  let [a, b, c, d] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p0 = a * 0xd2511f53n;
    const p1 = c * 0xcd9e8d57n;
    [a, b, c, d] = [(p1 >> 32n) ^ b ^ k0, low(p1), (p0 >> 32n) ^ d ^ k1, low(p0)];
    k0 = low(k0 + 0x9e3779b9n);
    k1 = low(k1 + 0xbb67ae85n);
  }
  return [a, b, c, d].map(Number);
}

describe('RandomStream', () => {
  test('a sequence depends on seed, epoch, sample and purpose, and on nothing drawn before', () => {
    const draws = (random: RandomStream) => Array.from({ length: 9 }, () => random.uint32());
    const random = new RandomStream(7);
    const first = draws(random.at(1, 2, 'words'));
    const others = [
      draws(random.at(1, 2, 'objects')),
      draws(random.at(1, 3, 'words')),
      draws(random.at(2, 2, 'words')),
      draws(new RandomStream(8).at(1, 2, 'words')),
      draws(new RandomStream(7 + 2 ** 32).at(1, 2, 'words')),
    ];
    expect(new Set([first, ...others].map((d) => d.join())).size).toBe(6);
    expect(new Set([first, ...others].flat()).size).toBe(54);
    expect(draws(random.at(1, 2, 'words'))).toEqual(first);
  });

  test('uniform is in [0, 1) with mean 1/2', () => {
    const random = new RandomStream(3).at(0, 0, 'words');
    let sum = 0;
    for (let i = 0; i < 20_000; i++) {
      const x = random.uniform();
      if (x < 0 || x >= 1) throw new Error(`${x} is outside`);
      sum += x;
    }
    expect(sum / 20_000).toBeCloseTo(0.5, 2);
  });

  test('below gives each number equally often: chi-square of 7 values', () => {
    const random = new RandomStream(5).at(0, 0, 'words');
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.below(7)]++;
    const chiSquare = counts.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0);
    expect(chiSquare).toBeLessThan(22.5); // 6 degrees of freedom, p = 0.001
  });

  test('below gives numbers below the limit, also for large limits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0xffffffff }), fc.nat(), (limit, sample) => {
        const value = new RandomStream(1).at(0, sample, 'order').below(limit);
        expect(Number.isInteger(value) && value >= 0 && value < limit).toBe(true);
      }),
      { seed: 1 },
    );
  });
});

describe('epochOrder', () => {
  test('is a permutation, the same for the same seed and epoch', () => {
    for (const size of [0, 1, 2, 1000]) {
      const order = epochOrder(1, 0, size);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
      expect(epochOrder(1, 0, size)).toEqual(order);
    }
    expect(epochOrder(1, 1, 1000)).not.toEqual(epochOrder(1, 0, 1000));
    expect(epochOrder(2, 0, 1000)).not.toEqual(epochOrder(1, 0, 1000));
  });

  test('all orders of four samples occur equally often', () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 24_000; epoch++) {
      const order = epochOrder(1, epoch, 4).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeLessThan(49.7); // 23 degrees of freedom, p = 0.001
  });
});

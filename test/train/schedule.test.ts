import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { learningRate } from '../../src/train/schedule.js';

test('8 steps with a quarter of warm-up', () => {
  const rates = Array.from({ length: 9 }, (_, step) => learningRate(step, { lr: 3, totalSteps: 8, warmup: 0.25 }));
  // Computed by hand: the rate rises by 1/2 with each step until step 2, then falls by 1/6 with each step.
  [0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0].forEach((share, i) =>
    expect(rates[i]).toBeCloseTo(3 * share, 12),
  );
});

test('rises from exactly 0 to the peak, then falls in a straight line to 0 at the end', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 ** 7 }),
      fc.double({ min: 0.001, max: 0.9, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (totalSteps, warmup, place) => {
        const step = Math.floor(place * totalSteps);
        const rate = learningRate(step, { lr: 1e-4, totalSteps, warmup });
        // The line through (0, 0) and (warm-up, peak), or through (warm-up, peak) and (end, 0).
        const corner = warmup * totalSteps;
        const share = step < corner ? step / corner : (totalSteps - step) / (totalSteps - corner);
        expect(rate).toBeCloseTo(1e-4 * share, 12);
        expect(rate).toBeLessThanOrEqual(1e-4);
        if (step === 0) expect(rate).toBe(0);
      },
    ),
  );
  expect(learningRate(10, { lr: 1, totalSteps: 10, warmup: 0.1 })).toBe(0);
  expect(learningRate(11, { lr: 1, totalSteps: 10, warmup: 0.1 })).toBe(0);
});

test('without warm-up the first step has the peak', () => {
  expect(learningRate(0, { lr: 2, totalSteps: 4, warmup: 0 })).toBe(2);
  expect(learningRate(3, { lr: 2, totalSteps: 4, warmup: 0 })).toBe(0.5);
});

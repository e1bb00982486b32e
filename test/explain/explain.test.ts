/** Tests the rules of relevancy on cases that can be computed by hand, and the parts of the perturbation test. */
import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  areaUnder,
  explanationSvg,
  keptCounts,
  meanAndError,
  rawAttention,
  relevancy,
  removalOrder,
  removedShares,
  rollout,
  scaled,
  type LayerAttention,
  type SampleAttention,
} from '../../src/explain/index.js';

/** A layer with one head, made from its rows. By default each gradient is 1. */
function layer(rows: readonly (readonly number[])[], gradient: (value: number) => number = () => 1): LayerAttention {
  const attention = Float32Array.from(rows.flat());
  const [queries, keys] = [rows.length, rows[0].length];
  const strides = { start: 0, headStride: queries * keys, rowStride: keys };
  return { heads: 1, queries, keys, ...strides, attention, gradient: attention.map(gradient) };
}

/** Two words and one box, one layer of each kind. */
const toy = (gradient?: (value: number) => number): SampleAttention => ({
  language: [
    layer(
      [
        [0.5, 0.5],
        [0.25, 0.75],
      ],
      gradient,
    ),
  ],
  vision: [layer([[1]], gradient)],
  cross: [
    {
      languageToVision: layer([[1], [1]], gradient),
      visionToLanguage: layer([[0.5, 0.5]], gradient),
      language: layer(
        [
          [0.5, 0.5],
          [0.5, 0.5],
        ],
        gradient,
      ),
    },
  ],
});

describe('relevancy', () => {
  test('of two words and one box, by hand', () => {
    // After the language layer R_tt = [[1.5, 0.5], [0.25, 1.75]]; after the vision layer R_vv = [[2]].
    // N(R_tt) = I + [[0.5, 0.5], [0.25, 0.75]], N(R_vv) = [[2]], so R_tv = N(R_tt)ᵀ [1, 1] × 2 = [3.5, 4.5].
    // Self-attention: R_tt[0] = [1.5, 0.5] + mean of both rows, R_tv[0] = 3.5 + (3.5 + 4.5) / 2.
    const { words, boxes } = relevancy(toy());
    expect([...words]).toEqual([0, 0.5 + (0.5 + 1.75) / 2]);
    expect([...boxes]).toEqual([7.5]);
  });

  test('of gradients that are nowhere positive is 0, not NaN', () => {
    const { words, boxes } = relevancy(toy(() => -1));
    expect([...words, ...boxes]).toEqual([0, 0, 0]);
  });

  test('counts a head only where attention and gradient are positive', () => {
    const base = toy();
    const two: LayerAttention = {
      ...base.language[0],
      heads: 2,
      headStride: 4,
      attention: Float32Array.from([0.5, 0.5, 0.25, 0.75, 1, 0, 0, 1]),
      gradient: Float32Array.from([1, 1, 1, 1, -5, -5, -5, -5]),
    };
    const steps: number[][] = [];
    relevancy({ ...base, language: [two] }, (step, { tt }) => {
      if (step === 'language.0') steps.push([...tt.values]);
    });
    expect(steps).toEqual([[1.25, 0.25, 0.125, 1.375]]); // I + half of the first head
  });
});

test('raw attention and rollout of the toy, by hand', () => {
  expect([...rawAttention(toy()).words, ...rawAttention(toy()).boxes]).toEqual([0, 0.5, 1]);
  // Of the words: (A + I) / 2 = [[0.75, 0.25], [0.125, 0.875]], times the last layer's [[0.75, 0.25], [0.25, 0.75]].
  const { words, boxes } = rollout(toy());
  expect([...words]).toEqual([0, 0.75 * 0.25 + 0.25 * 0.875]);
  expect([...boxes]).toEqual([0.75 + 0.125]);
});

test('values that are all equal are scaled to 0', () => {
  expect([...scaled(Float64Array.of(3, 3))]).toEqual([0, 0]);
  expect([...scaled(Float64Array.of(1, 2, 3))]).toEqual([0, 0.5, 1]);
});

describe('perturbation', () => {
  const fixture = join(import.meta.dirname, '../fixtures/explain/perturbation-counts.json');
  const { steps, kept } = JSON.parse(readFileSync(fixture, 'utf8')) as {
    steps: number[];
    kept: Record<string, number[]>;
  };

  test("keeps as many as the authors' code", () => {
    expect(removedShares).toEqual(steps);
    for (const [count, wanted] of Object.entries(kept))
      expect([count, keptCounts(Number(count))]).toEqual([count, wanted]);
  });

  test('removes in the order of the scores; equal scores as chance has it', () => {
    expect(removalOrder([0.1, 0.9, 0.5, 0.5], 'most', [0, 0, 0.7, 0.2])).toEqual([1, 3, 2, 0]);
    expect(removalOrder([0.1, 0.9, 0.5, 0.5], 'least', [0, 0, 0.7, 0.2])).toEqual([0, 3, 2, 1]);
  });

  test('area and spread', () => {
    expect(areaUnder(removedShares.map(() => 0.4))).toBeCloseTo(0.4, 12);
    expect(areaUnder(removedShares.map((share) => 1 - share))).toBeCloseTo(0.5, 12);
    expect(meanAndError([1, 2, 3, 4])).toEqual({ mean: 2.5, error: Math.sqrt(5 / 3 / 4) });
  });
});

test('a picture has no markup of its texts, and no character that XML cannot hold', () => {
  const evil = '"><script>alert(1)</script>&\u0000\ud800';
  const svg = explanationSvg({
    title: evil,
    words: [{ text: evil, share: 1 }],
    boxes: [{ box: [0.1, 0.2, 0.5, 0.6], share: 0.5 }],
  });
  expect(svg).not.toContain('<script');
  expect(svg).not.toContain('\u0000');
  expect(svg).not.toMatch(/\p{Surrogate}/u);
  expect(svg.match(/&lt;script&gt;/g)?.length).toBeGreaterThanOrEqual(2);
});

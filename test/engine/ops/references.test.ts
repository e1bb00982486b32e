/** Tests of the float64 references: known values, and every backward pass compared with differences of its forward pass. */
import { describe, expect, test } from '@jest/globals';
import { centralDifferences, distance, dot } from '../support/finiteDifference.js';
import { attentionBackward, attentionForward, readersOf } from '../support/reference/attention.js';
import { maskAt, type MaskKeys } from '../support/reference/dropout.js';
import { erf, gelu, geluDerivative, tanhDerivative } from '../support/reference/elementwise.js';
import * as embeddings from '../support/reference/embeddings.js';
import { gatherRowsBackward, gatherRowsForward } from '../support/reference/gatherRows.js';
import { layerNormBackward, layerNormForward, type NormShape } from '../support/reference/layerNorm.js';
import * as linear from '../support/reference/linear.js';
import * as losses from '../support/reference/losses.js';
import { Rng } from '../support/rng.js';

const rng = new Rng(11);
const random = (count: number, deviation = 1): Float64Array => Float64Array.from(rng.floats(count, deviation));

/** Of 8 rows, rows 0, 1, 2, 5 and 6 are active. There is a gap between them, as in stacked streams. */
const active = [0, 1, 2, 5, 6];
const capacity = 8;
const mask = (p: number): MaskKeys => ({
  p,
  instance: 3,
  seed: 7,
  step: 9,
  rowIds: Int32Array.from({ length: 2 * capacity }, (_, i) => (i * 7) % 5),
});

/** Compares the gradients of ⟨cotangent, forward⟩ for inputs with differences of the forward pass. */
function checkPair<Inputs extends Record<string, Float64Array>>(
  inputs: Inputs,
  forward: (inputs: Inputs) => Float64Array,
  gradients: (cotangent: Float64Array) => Partial<Record<keyof Inputs, ArrayLike<number>>>,
): void {
  const cotangent = random(forward(inputs).length);
  for (const [name, gradient] of Object.entries(gradients(cotangent))) {
    const wanted = centralDifferences((x) => dot(cotangent, forward({ ...inputs, [name]: x })), inputs[name]);
    expect({ name, close: distance(gradient!, wanted) < 1e-8 }).toEqual({ name, close: true });
  }
}

test.each([
  [0, 0],
  [0.1, 0.1124629160182849],
  [-0.5, -0.5204998778130465],
  [1, 0.8427007929497149],
  [2, 0.9953222650189527],
  [-3, -0.9999779095030014],
  [4, 0.9999999845827421],
  [7, 1],
])('erf(%p) = %p', (x, wanted) => {
  expect(Math.abs(erf(x) - wanted)).toBeLessThan(1e-15);
});

test('gelu and tanh', () => {
  const x = random(40, 2);
  checkPair(
    { x },
    ({ x }) => x.map(gelu),
    (c) => ({ x: x.map((v, i) => c[i] * geluDerivative(v)) }),
  );
  checkPair(
    { x },
    ({ x }) => x.map(Math.tanh),
    (c) => ({ x: x.map((v, i) => c[i] * tanhDerivative(Math.tanh(v))) }),
  );
});

test('linear', () => {
  const s = { active, capacity, in: 5, out: 3 };
  const inputs = { x: random(capacity * 5), weight: random(15), bias: random(3) };
  checkPair(
    inputs,
    ({ x, weight, bias }) => linear.linearForward(s, x, weight, bias),
    (dy) => {
      const { dWeight, dBias } = linear.linearBackwardWeight(s, inputs.x, dy);
      return { x: linear.linearBackwardInput(s, dy, inputs.weight), weight: dWeight, bias: dBias };
    },
  );
});

test('gatherRows', () => {
  const s = { active, capacity, width: 3, fromRows: 4 };
  const indices = [2, 2, -1, 0, 0, 3, 4, 1];
  checkPair(
    { from: random(12) },
    ({ from }) => gatherRowsForward(s, indices, from),
    (dTo) => ({ from: gatherRowsBackward(s, indices, dTo) }),
  );
});

const norm: NormShape = { active, capacity, width: 6, epsilon: 1e-5 };

test.each([0, 0.4])('residual, dropout %p and layer norm', (p) => {
  const keys = p > 0 ? mask(p) : null;
  const inputs = { residual: random(48), y: random(48), gamma: random(6), beta: random(6) };
  const sum = ({ residual, y }: { residual: Float64Array; y: Float64Array }): Float64Array =>
    embeddings.dropped(norm, y, keys).map((value, i) => value + residual[i]);
  checkPair(
    inputs,
    (at) => layerNormForward(norm, sum(at), at.gamma, at.beta).out,
    (dOut) => {
      const { dz, dGamma, dBeta } = layerNormBackward(norm, sum(inputs), inputs.gamma, dOut);
      return { residual: dz, y: embeddings.dropped(norm, dz, keys), gamma: dGamma, beta: dBeta };
    },
  );
});

test('token embedding: all rows of its tables except row 0', () => {
  const keys = mask(0.3);
  const [ids, positions] = [
    [1, 0, 2, 0, 0, 2, 1, 0],
    [0, 1, 2, 0, 0, 0, 1, 0],
  ];
  const inputs = { word: random(18), position: random(18), type: random(6), gamma: random(6), beta: random(6) };
  const cotangent = random(48);
  const loss = (at: typeof inputs): number =>
    dot(cotangent, embeddings.tokenForward(norm, { ids, positions, ...at }, keys).out);
  const g = embeddings.tokenBackward(norm, { ids, positions, ...inputs }, keys, cotangent);
  const gradients = { word: g.dWord, position: g.dPosition, gamma: g.dGamma, beta: g.dBeta };
  for (const [name, gradient] of Object.entries(gradients)) {
    const wanted = centralDifferences((x) => loss({ ...inputs, [name]: x }), inputs[name as keyof typeof inputs]);
    if (name === 'word' || name === 'position') wanted.fill(0, 0, 6); // the padding row, as in the original
    expect(distance(gradient, wanted)).toBeLessThan(1e-8);
  }
});

test('object embedding', () => {
  const keys = mask(0.3);
  const boxes = random(capacity * 4);
  const inputs = {
    x: random(48),
    boxWeight: random(24),
    boxBias: random(6),
    featureGamma: random(6),
    featureBeta: random(6),
    boxGamma: random(6),
    boxBeta: random(6),
  };
  checkPair(
    inputs,
    (at) => embeddings.objectForward(norm, { boxes, ...at }, keys).out,
    (dOut) => {
      const g = embeddings.objectBackward(norm, { boxes, ...inputs }, keys, dOut);
      return {
        x: g.dx,
        boxWeight: g.dBoxWeight,
        boxBias: g.dBoxBias,
        featureGamma: g.dFeatureGamma,
        featureBeta: g.dFeatureBeta,
        boxGamma: g.dBoxGamma,
        boxBeta: g.dBoxBeta,
      };
    },
  );
});

describe('attention', () => {
  const [heads, headDim] = [2, 3];
  test.each([
    ['self', null, 0],
    ['self with dropout', null, 0.3],
    ['cross', [0, 1, 3], 0],
    ['cross with dropout', [0, 1, 3], 0.3],
    ['cross where a sample has one stream only', [0, 0, 2], 0.3],
  ])('%s', (_, offsetsB, p) => {
    const readers = readersOf(2, [0, 2, 3], offsetsB, 5);
    const s = { capacity, heads, headDim, readers, mask: p > 0 ? mask(p) : null };
    const inputs = { qkv: random(capacity * 3 * heads * headDim) };
    checkPair(
      inputs,
      ({ qkv }) => attentionForward(s, qkv).context,
      (dContext) => ({ qkv: attentionBackward(s, inputs.qkv, dContext).dQkv }),
    );
  });
});

describe('losses', () => {
  const s = { active, capacity, width: 5 };
  const labels = [0, 4, -1, 0, 0, 2, 5, 1];
  const weights = random(capacity).map(Math.abs);

  test('softmax cross-entropy', () => {
    const logits = random(40, 2);
    const loss = (x: ArrayLike<number>): number => 0.3 * losses.crossEntropyForward(s, x, labels, weights).lossSum;
    const gradient = losses.crossEntropyBackward(s, logits, labels, weights, 0.3);
    expect(distance(gradient, centralDifferences(loss, logits))).toBeLessThan(1e-8);
  });

  test('softmax cross-entropy of equal logits is log of their number', () => {
    const { lossSum, labelled, correct, predictions } = losses.crossEntropyForward(
      s,
      new Float64Array(40),
      labels,
      null,
    );
    expect(lossSum).toBeCloseTo(3 * Math.log(5), 12);
    expect({ labelled, correct, predictions: [...predictions] }).toEqual({
      labelled: 3,
      correct: 1,
      predictions: new Array(8).fill(0),
    });
  });

  const soft = {
    offsets: [0, 2, 3, 3, 3, 3, 5, 8, 8],
    ids: [1, 4, 0, 2, 2, 3, -1, 5],
    scores: [1, 0.3, 0.6, 0.5, 0.4, 0.9, 1, 1],
  };

  test('sigmoid cross-entropy', () => {
    const logits = random(40, 2);
    const loss = (x: ArrayLike<number>): number =>
      0.3 * losses.sigmoidForward(s, x, soft).rowLoss.reduce((sum, rowLoss) => sum + rowLoss, 0);
    const gradient = losses.sigmoidBackward(s, logits, soft, 0.3);
    expect(distance(gradient, centralDifferences(loss, logits))).toBeLessThan(1e-8);
  });

  test('sigmoid cross-entropy of equal logits is log 2 for each class, and its score that of class 0', () => {
    const { rowLoss, rowScore, predictions } = losses.sigmoidForward(s, new Float64Array(40), soft);
    for (let row = 0; row < capacity; row++)
      expect(rowLoss[row]).toBeCloseTo(active.includes(row) ? 5 * Math.log(2) : 0, 12);
    expect([...rowScore]).toEqual([0, 0.6, 0, 0, 0, 0, 0, 0]);
    expect([...predictions]).toEqual(new Array(8).fill(0));
  });

  test('smooth L1', () => {
    const [prediction, wanted] = [random(40, 2), random(40)];
    const loss = (x: ArrayLike<number>): number =>
      0.7 * losses.smoothL1Forward(s, x, wanted).reduce((sum, rowLoss) => sum + rowLoss, 0);
    const gradient = losses.smoothL1Backward(s, prediction, wanted, 0.7);
    expect(distance(gradient, centralDifferences(loss, prediction))).toBeLessThan(1e-8);
  });
});

test('a dropout mask keeps with probability 1 - p and has mean 1', () => {
  const keys = { ...mask(0.25), rowIds: Int32Array.from({ length: 200 }, (_, i) => i) };
  const factors = Array.from({ length: 100 * 64 }, (_, i) => maskAt(keys, Math.floor(i / 64), i % 64));
  expect(new Set(factors)).toEqual(new Set([0, 1 / 0.75]));
  const mean = factors.reduce((sum, factor) => sum + factor, 0) / factors.length;
  expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(0.25 / 0.75 / factors.length));
});

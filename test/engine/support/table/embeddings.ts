import { added, input, normOf, output, scratch, target, update } from '../opCase.js';
import type { CaseArgument, CaseTensor, Expectation, FloatType, OpCase } from '../opCase.js';
import * as reference from '../reference/embeddings.js';
import type { Rng } from '../rng.js';
import { makeDropout, makeWorld, rowValues, type WorldSize } from '../world.js';
import { betaOf, cancelled, gammaOf, maskKeys, normShape } from './layerNorm.js';

function tokenSetting(rng: Rng, size?: WorldSize) {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(['language', 'language', 'all', 'maskedTokens', 'samples']));
  const s = normShape(rng, rows, world);
  const { width } = s;
  const [vocabSize, positions] = [rng.int(1, 40), rng.int(12, 20)];
  const dropout = makeDropout(rng, world, rows);
  const rowIds = dropout.rowIds ?? world.rowIds(rows);
  const ids = input('ids', [rows.capacity], new Int32Array(rows.capacity));
  for (const row of rows.active) ids.values[row] = rng.chance(0.2) ? 0 : rng.int(0, vocabSize - 1);
  const word = input('word', [vocabSize, width], rng.floats(vocabSize * width));
  const position = input('position', [positions, width], rng.floats(positions * width));
  const type = input('type', [2, width], rng.floats(2 * width));
  const [gamma, beta] = [gammaOf(rng, width), betaOf(rng, width)];
  const t: reference.TokenInputs = {
    ids: ids.values,
    positions: Array.from({ length: rows.capacity }, (_, row) => rowIds.values[2 * row + 1]),
    word: word.values,
    position: position.values,
    type: type.values,
    gamma: gamma.values,
    beta: beta.values,
  };
  const shape: CaseArgument[] = [rows, width, vocabSize, positions, dropout, ids, rowIds, word, position, type, gamma];
  return { rows, s, t, beta, vocabSize, positions, shape, mask: maskKeys(world, dropout) };
}

function objectSetting(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32') {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(['vision', 'vision', 'all', 'maskedObjects']));
  const s = normShape(rng, rows, world);
  const { width } = s;
  const dropout = makeDropout(rng, world, rows);
  const x = input('x', [rows.capacity, width], rowValues(rng, rows, width, 2, 1), dtype);
  const boxes = input('boxes', [rows.capacity, 4], rowValues(rng, rows, 4, 0.3, 0.5));
  const boxWeight = input('boxWeight', [width, 4], rng.floats(4 * width));
  const boxBias = input('boxBias', [width], rng.floats(width));
  const [featureGamma, featureBeta] = [gammaOf(rng, width), betaOf(rng, width)];
  const [boxGamma, boxBeta] = [gammaOf(rng, width), betaOf(rng, width)];
  const o: reference.ObjectInputs = {
    x: x.values,
    boxes: boxes.values,
    boxWeight: boxWeight.values,
    boxBias: boxBias.values,
    featureGamma: featureGamma.values,
    featureBeta: featureBeta.values,
    boxGamma: boxGamma.values,
    boxBeta: boxBeta.values,
  };
  const shape: CaseArgument[] = [rows, width, dropout, x, boxes, boxWeight, boxBias, featureGamma, boxGamma];
  return { rows, s, o, featureBeta, boxBeta, shape, mask: maskKeys(world, dropout) };
}

/** Means of rows may be near 0, so their errors are relative to the norm of the row's values. */
const meanAndDeviation = (first: number, width: number, values: ArrayLike<number>) => [
  { begin: first, end: first + 1, scale: normOf(values) / width },
  { begin: first + 1, end: first + 2 },
];

export const embeddingOps = {
  tokenEmbeddingForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, t, beta, shape, mask } = tokenSetting(rng, size);
    const [out, stats] = [output('out', [rows.capacity, s.width], dtype), output('stats', [rows.capacity, 2])];
    const wanted = reference.tokenForward(s, t, mask);
    const sumSize = Math.sqrt(3 * rows.active.length * s.width);
    const expected = new Map<CaseTensor, Expectation>([
      [out, { values: wanted.out, rows }],
      [stats, { values: wanted.stats, rows, blocks: meanAndDeviation(0, s.width, [sumSize]) }],
    ]);
    return { args: [...shape, s.epsilon, beta, out, stats], expected };
  },

  tokenEmbeddingBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, t, vocabSize, positions, shape, mask } = tokenSetting(rng, size);
    const { width } = s;
    const accumulate = rng.chance(0.5);
    const before = (): Float32Array | null => (accumulate ? rng.floats(width) : null);
    const stats = input('stats', [rows.capacity, 2], Float32Array.from(reference.tokenForward(s, t, mask).stats));
    const dOut = input('dOut', [rows.capacity, width], rowValues(rng, rows, width), dtype);
    const dWord = update('dWord', [vocabSize, width], rng.floats(vocabSize * width));
    const dPosition = update('dPosition', [positions, width], rng.floats(positions * width));
    const [dGamma, dBeta] = [target('dGamma', [width], before()), target('dBeta', [width], before())];
    const g = reference.tokenBackward(s, t, mask, dOut.values);
    const expected = new Map<CaseTensor, Expectation>([
      [dWord, { values: added(dWord, g.dWord), ...cancelled(width, g.terms) }],
      [dPosition, { values: added(dPosition, g.dPosition), ...cancelled(width, g.terms) }],
      [dGamma, { values: added(dGamma, g.dGamma), ...cancelled(width, dOut.values) }],
      [dBeta, { values: added(dBeta, g.dBeta) }],
    ]);
    const rest = [accumulate, stats, dOut, scratch('scratch', [rows.capacity, width]), dWord, dPosition, dGamma, dBeta];
    return { args: [...shape, ...rest], expected };
  },

  objectEmbeddingForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, o, featureBeta, boxBeta, shape, mask } = objectSetting(rng, size, dtype);
    const [out, stats] = [output('out', [rows.capacity, s.width], dtype), output('stats', [rows.capacity, 4])];
    const wanted = reference.objectForward(s, o, mask);
    const boxSize = Math.sqrt(3 * rows.active.length * s.width);
    const blocks = [...meanAndDeviation(0, s.width, o.x), ...meanAndDeviation(2, s.width, [boxSize])];
    const expected = new Map<CaseTensor, Expectation>([
      [out, { values: wanted.out, rows }],
      [stats, { values: wanted.stats, rows, blocks }],
    ]);
    return { args: [...shape, s.epsilon, featureBeta, boxBeta, out, stats], expected };
  },

  objectEmbeddingBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, o, shape, mask } = objectSetting(rng, size, dtype);
    const { width } = s;
    const accumulate = rng.chance(0.5);
    const kept = reference.objectForward(s, o, mask).stats;
    const stats = input('stats', [rows.capacity, 4], Float32Array.from(kept));
    const dOut = input('dOut', [rows.capacity, width], rowValues(rng, rows, width), dtype);
    const dx = output('dx', [rows.capacity, width], dtype);
    const g = reference.objectBackward(s, o, mask, dOut.values);
    const expected = new Map<CaseTensor, Expectation>([
      [dx, { values: g.dx, rows, ...cancelled(width, g.featureTerms) }],
    ]);
    const parameter = (name: string, shape: number[], gradient: Float64Array, terms: ArrayLike<number>): CaseTensor => {
      const to = target(name, shape, accumulate ? rng.floats(gradient.length) : null);
      expected.set(to, { values: added(to, gradient), ...cancelled(width, terms) });
      return to;
    };
    const targets = [
      parameter('dBoxWeight', [width, 4], g.dBoxWeight, g.boxTerms),
      parameter('dBoxBias', [width], g.dBoxBias, g.boxTerms),
      parameter('dFeatureGamma', [width], g.dFeatureGamma, dOut.values),
      parameter('dFeatureBeta', [width], g.dFeatureBeta, dOut.values),
      parameter('dBoxGamma', [width], g.dBoxGamma, dOut.values),
      parameter('dBoxBeta', [width], g.dBoxBeta, dOut.values),
    ];
    return { args: [...shape, accumulate, stats, dOut, dx, ...targets], expected };
  },
};

/** The two embeddings (LXMERT, section 2.1) and their gradients, in float64. They use the reference of layer norm. */
import { maskAt, type MaskKeys } from './dropout.js';
import { layerNormBackward, layerNormForward, type NormShape } from './layerNorm.js';

type Vector = ArrayLike<number>;

/** Each active element times its dropout factor. */
export function dropped(s: NormShape, values: Vector, mask: MaskKeys | null): Float64Array {
  const out = new Float64Array(s.capacity * s.width);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) out[row * s.width + c] = values[row * s.width + c] * maskAt(mask, row, c);
  return out;
}

export interface TokenInputs {
  readonly ids: Vector;
  /** Position of each row in its sentence. */
  readonly positions: Vector;
  readonly word: Vector;
  readonly position: Vector;
  readonly type: Vector;
  readonly gamma: Vector;
  readonly beta: Vector;
}

function tokenSums(s: NormShape, t: TokenInputs): Float64Array {
  const sums = new Float64Array(s.capacity * s.width);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++)
      sums[row * s.width + c] =
        t.word[t.ids[row] * s.width + c] + t.position[t.positions[row] * s.width + c] + t.type[c];
  return sums;
}

/** dropout(LN(word[id] + position[p] + type[0])). */
export function tokenForward(s: NormShape, t: TokenInputs, mask: MaskKeys | null) {
  const { out, stats } = layerNormForward(s, tokenSums(s, t), t.gamma, t.beta);
  return { out: dropped(s, out, mask), stats };
}

/** Row 0 of the word and position tables gets no gradient. */
export function tokenBackward(s: NormShape, t: TokenInputs, mask: MaskKeys | null, dOut: Vector) {
  const { dz, dGamma, dBeta, terms } = layerNormBackward(s, tokenSums(s, t), t.gamma, dropped(s, dOut, mask));
  const dWord = new Float64Array(t.word.length);
  const dPosition = new Float64Array(t.position.length);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) {
      const gradient = dz[row * s.width + c];
      if (t.ids[row] !== 0) dWord[t.ids[row] * s.width + c] += gradient;
      if (t.positions[row] !== 0) dPosition[t.positions[row] * s.width + c] += gradient;
    }
  return { dWord, dPosition, dGamma, dBeta, terms };
}

export interface ObjectInputs {
  /** Projected RoI features [rows, width]. */
  readonly x: Vector;
  /** [rows, 4] */
  readonly boxes: Vector;
  readonly boxWeight: Vector;
  readonly boxBias: Vector;
  readonly featureGamma: Vector;
  readonly featureBeta: Vector;
  readonly boxGamma: Vector;
  readonly boxBeta: Vector;
}

function projectedBoxes(s: NormShape, o: ObjectInputs): Float64Array {
  const projected = new Float64Array(s.capacity * s.width);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) {
      let sum = o.boxBias[c];
      for (let k = 0; k < 4; k++) sum += o.boxWeight[4 * c + k] * o.boxes[4 * row + k];
      projected[row * s.width + c] = sum;
    }
  return projected;
}

/** dropout((LN(x) + LN(W box + b)) / 2); stats [rows, 4]: mean and 1/σ of the feature, then of the box. */
export function objectForward(s: NormShape, o: ObjectInputs, mask: MaskKeys | null) {
  const feature = layerNormForward(s, o.x, o.featureGamma, o.featureBeta);
  const box = layerNormForward(s, projectedBoxes(s, o), o.boxGamma, o.boxBeta);
  const stats = new Float64Array(s.capacity * 4);
  for (const row of s.active)
    for (let i = 0; i < 2; i++) {
      stats[4 * row + i] = feature.stats[2 * row + i];
      stats[4 * row + 2 + i] = box.stats[2 * row + i];
    }
  const sum = feature.out.map((value, i) => (value + box.out[i]) / 2);
  return { out: dropped(s, sum, mask), stats };
}

export function objectBackward(s: NormShape, o: ObjectInputs, mask: MaskKeys | null, dOut: Vector) {
  const half = dropped(s, dOut, mask).map((g) => g / 2);
  const feature = layerNormBackward(s, o.x, o.featureGamma, half);
  const box = layerNormBackward(s, projectedBoxes(s, o), o.boxGamma, half);
  const dBoxWeight = new Float64Array(4 * s.width);
  const dBoxBias = new Float64Array(s.width);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) {
      const gradient = box.dz[row * s.width + c];
      dBoxBias[c] += gradient;
      for (let k = 0; k < 4; k++) dBoxWeight[4 * c + k] += gradient * o.boxes[4 * row + k];
    }
  return {
    dx: feature.dz,
    dBoxWeight,
    dBoxBias,
    dFeatureGamma: feature.dGamma,
    dFeatureBeta: feature.dBeta,
    dBoxGamma: box.dGamma,
    dBoxBeta: box.dBeta,
    featureTerms: feature.terms,
    boxTerms: box.terms,
  };
}

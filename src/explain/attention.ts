import { zeros, type Matrix } from './matrix.js';

/**
 * The attention of one layer in one direction, for one sample. `attention[start + h × headStride + q × rowStride + k]`
 * is the probability of key `k` for query `q` in head `h`. The gradient of the answer's logit has the same layout.
 */
export interface LayerAttention {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly start: number;
  readonly headStride: number;
  readonly rowStride: number;
  readonly attention: Float32Array;
  /** Absent if the explanation does not need it. */
  readonly gradient?: Float32Array | undefined;
}

/** The attention of a cross-modality layer: both directions of cross-attention, then self-attention of each stream. */
export interface CrossAttention {
  readonly languageToVision: LayerAttention;
  readonly visionToLanguage: LayerAttention;
  readonly language: LayerAttention;
  /** Absent in the last layer, in which it has no effect on the answer. */
  readonly vision?: LayerAttention | undefined;
}

/** All attention of one sample, in the order of the layers. */
export interface SampleAttention {
  readonly language: readonly LayerAttention[];
  readonly vision: readonly LayerAttention[];
  readonly cross: readonly CrossAttention[];
}

/** How much each word and each box counts for the answer: [tokens] and [boxes]. */
export interface Relevance {
  readonly words: Float64Array;
  readonly boxes: Float64Array;
}

/** The mean attention of all heads: [queries, keys]. */
export function meanAttention(layer: LayerAttention): Matrix {
  const { heads, queries, keys, attention } = layer;
  const mean = zeros(queries, keys);
  for (let h = 0; h < heads; h++)
    for (let q = 0; q < queries; q++) {
      const first = placeOf(layer, h, q);
      for (let k = 0; k < keys; k++) mean.values[q * keys + k] += attention[first + k] / heads;
    }
  return mean;
}

/** Ā = mean over the heads of max(A ⊙ ∇A, 0), Chefer et al. 2021, equation 5: [queries, keys]. */
export function meanRelevance(layer: LayerAttention): Matrix {
  const { heads, queries, keys, attention, gradient } = layer;
  const mean = zeros(queries, keys);
  if (!gradient) return mean;
  for (let h = 0; h < heads; h++)
    for (let q = 0; q < queries; q++) {
      const first = placeOf(layer, h, q);
      for (let k = 0; k < keys; k++) {
        const value = attention[first + k] * gradient[first + k];
        if (!(value <= 0)) mean.values[q * keys + k] += value / heads; // NaN stays NaN
      }
    }
  return mean;
}

/** The position at which the row of a head and a query begins. */
const placeOf = ({ start, headStride, rowStride }: LayerAttention, head: number, query: number): number =>
  start + head * headStride + query * rowStride;

/**
 * Scales values for display: the smallest becomes 0, and the largest becomes 1. If all values are equal, all become 0.
 */
export function scaled(values: Float64Array): Float64Array {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const range = values.reduce((a, b) => Math.max(a, b), -Infinity) - least;
  return values.map((value) => (range > 0 ? (value - least) / range : 0));
}

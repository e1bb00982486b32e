import { zeros, type Matrix } from './matrix.js';

/**
 * The attention of one layer in one direction, for one sample: the probability that head `h` gives key `k` for query
 * `q` is `attention[start + h × headStride + q × rowStride + k]`. The gradient of the answer's logit has the same
 * places.
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
  /** Absent in the last layer, where it has no effect on the answer. */
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

/** The mean over the heads of `value`, for each query and key: [queries, keys]. */
function meanOverHeads(layer: LayerAttention, value: (place: number) => number): Matrix {
  const { heads, queries, keys, start, headStride, rowStride } = layer;
  const mean = zeros(queries, keys);
  for (let h = 0; h < heads; h++)
    for (let q = 0; q < queries; q++) {
      const first = start + h * headStride + q * rowStride;
      for (let k = 0; k < keys; k++) mean.values[q * keys + k] += value(first + k) / heads;
    }
  return mean;
}

/** The mean attention of all heads: [queries, keys]. */
export const meanAttention = (layer: LayerAttention): Matrix => meanOverHeads(layer, (place) => layer.attention[place]);

/** Ā = mean over the heads of max(A ⊙ ∇A, 0), Chefer et al. 2021, equation 5: [queries, keys]. */
export function meanRelevance(layer: LayerAttention): Matrix {
  const { attention, gradient } = layer;
  if (!gradient) return zeros(layer.queries, layer.keys);
  return meanOverHeads(layer, (place) => Math.max(attention[place] * gradient[place], 0));
}

/** Scales values for display: the smallest value becomes 0, and the largest becomes 1. Equal values all become 0. */
export function scaled(values: Float64Array): Float64Array {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const range = values.reduce((a, b) => Math.max(a, b), -Infinity) - least;
  return values.map((value) => (range > 0 ? (value - least) / range : 0));
}

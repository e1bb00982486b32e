/** Explanations that need no gradient. Relevancy is compared with them. */
import { meanAttention, type LayerAttention, type Relevance, type SampleAttention } from './attention.js';
import { add, firstRow, identity, multiply, multiplyTransposed, rowsToShares, type Matrix } from './matrix.js';

/**
 * The attention of [CLS] in the last cross-modality layer, as the mean over the heads: self-attention gives the words,
 * and cross-attention gives the boxes.
 */
export function rawAttention({ cross }: SampleAttention): Relevance {
  const last = cross[cross.length - 1];
  return { words: withoutCls(meanAttention(last.language)), boxes: firstRow(meanAttention(last.languageToVision)) };
}

/**
 * Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928) of each stream: the product of its self-attention
 * layers, each with the residual connection. The cross-attention of the last layer leads from words to boxes.
 */
export function rollout({ language, vision, cross }: SampleAttention): Relevance {
  const last = cross[cross.length - 1];
  const before = cross.slice(0, -1);
  const words = rolledOut([...language, ...before.map((layer) => layer.language)], last.languageToVision.queries);
  const boxes = rolledOut([...vision, ...before.flatMap((layer) => layer.vision ?? [])], last.languageToVision.keys);
  const toBoxes = multiplyTransposed(words, multiply(meanAttention(last.languageToVision), boxes));
  return { words: withoutCls(through(words, last.language)), boxes: firstRow(toBoxes) };
}

const rolledOut = (layers: readonly LayerAttention[], size: number): Matrix => layers.reduce(through, identity(size));

/**
 * Adds one layer: half of each row is the row itself (the residual connection), and half is the attention of the row.
 */
function through(before: Matrix, layer: LayerAttention): Matrix {
  return multiply(rowsToShares(add(meanAttention(layer), identity(layer.queries))), before);
}

/** The row of [CLS]. The value of [CLS] for itself explains nothing, so it becomes 0. */
function withoutCls(matrix: Matrix): Float64Array {
  const words = firstRow(matrix);
  words[0] = 0;
  return words;
}

/** Explanations that need no gradient, to compare relevancy with. */
import { meanAttention, type LayerAttention, type Relevance, type SampleAttention } from './attention.js';
import { add, firstRow, identity, multiply, multiplyTransposed, rowsToShares, type Matrix } from './matrix.js';

/** What [CLS] attends to in the last cross-modality layer, mean over the heads: words in self-attention, boxes in cross-attention. */
export function rawAttention({ cross }: SampleAttention): Relevance {
  const last = cross[cross.length - 1];
  return { words: withoutCls(meanAttention(last.language)), boxes: firstRow(meanAttention(last.languageToVision)) };
}

/**
 * Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928) of each stream: the product of its self-attention layers, each
 * with the residual connection. The cross-attention of the last layer leads from words to boxes.
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

/** One more layer: half of a row is its own, by the residual connection, and half is what it attends to. */
function through(before: Matrix, layer: LayerAttention): Matrix {
  return multiply(rowsToShares(add(meanAttention(layer), identity(layer.queries))), before);
}

/** The row of [CLS]. That it attends to itself says nothing. */
function withoutCls(matrix: Matrix): Float64Array {
  const words = firstRow(matrix);
  words[0] = 0;
  return words;
}

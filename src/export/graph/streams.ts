import { int, ints } from '../../formats/onnxBuilder.js';
import type { Value } from '../../formats/onnxBuilder.js';
import { number, toReal, type ModelGraph } from './modelGraph.js';

/**
 * One of the two streams: words or objects. Its hidden states are rows [samples × length, H], with the rows of padding. The
 * numbers of samples and the length are known only when the graph runs.
 */
export interface Stream {
  /** The shape of the rows by sample: samples, length, H (int64 [3]). */
  readonly bySample: Value;
  /** The shape of the rows by head: samples, length, heads, H / heads (int64 [4]). */
  readonly byHead: Value;
  /** Added to the attention scores of this stream's rows as keys, [samples, 1, 1, length]: 0, or for padding `maskedScore`. */
  readonly mask: Value;
}

/** Added to the attention scores of padding, as in the original. Its `exp` is 0 in float32 and in float16. */
const maskedScore = -10_000;

/** @param mask [samples, length] of int64: 1 for a word or an object, 0 for padding */
export function streamOf(m: ModelGraph, mask: Value): Stream {
  const { g } = m;
  const { hiddenSize, numAttentionHeads } = m.config;
  const size = g.op('Shape', [mask]);
  const shape = (...last: number[]): Value => g.op('Concat', [size, g.ints(last)], { axis: int(0) });
  const padding = g.op('Sub', [number(m, 1), toReal(m, mask)]);
  return {
    bySample: shape(hiddenSize),
    byHead: shape(numAttentionHeads, hiddenSize / numAttentionHeads),
    mask: g.op('Unsqueeze', [g.op('Mul', [padding, number(m, maskedScore)]), g.ints([1, 2])]),
  };
}

/** The shape of one row for each sample of a stream, by head: samples, 1, heads, H / heads. */
export function oneRowByHead(
  { g, config: { hiddenSize, numAttentionHeads } }: ModelGraph,
  { bySample }: Stream,
): Value {
  const samples = g.op('Slice', [bySample, g.ints([0]), g.ints([1])]);
  const rest = g.ints([1, numAttentionHeads, hiddenSize / numAttentionHeads]);
  return g.op('Concat', [samples, rest], { axis: int(0) });
}

/** Values [samples, length, width] as rows [samples × length, width]. */
export const rowsOf = ({ g }: ModelGraph, values: Value, width: number): Value =>
  g.op('Reshape', [values, g.ints([-1, width])]);

/** Rows [samples × length, width] by sample: [samples, length, width]. */
export function bySample({ g }: ModelGraph, rows: Value, { bySample: shape }: Stream, width: number): Value {
  const size = g.op('Slice', [shape, g.ints([0]), g.ints([2])]);
  return g.op('Reshape', [rows, g.op('Concat', [size, g.ints([width])], { axis: int(0) })]);
}

/** The first row of each sample: [samples × length, H] → [samples, H]. */
export const firstRows = ({ g }: ModelGraph, rows: Value, { bySample: shape }: Stream): Value =>
  g.op('Gather', [g.op('Reshape', [rows, shape]), g.ints([0], [])], { axis: int(1) });

/** Rows by head, for queries and values: [samples, heads, length, H / heads]. */
export const headsOf = ({ g }: ModelGraph, rows: Value, byHead: Value): Value =>
  g.op('Transpose', [g.op('Reshape', [rows, byHead])], { perm: ints(0, 2, 1, 3) });

/** Rows by head, for keys: [samples, heads, H / heads, length]. */
export const keysOf = ({ g }: ModelGraph, rows: Value, byHead: Value): Value =>
  g.op('Transpose', [g.op('Reshape', [rows, byHead])], { perm: ints(0, 2, 3, 1) });

/** Values [examples, 2, length] as [examples × 2, length]: the two pictures of an example become two samples. */
export function joinPictures({ g }: ModelGraph, values: Value): Value {
  const length = g.op('Slice', [g.op('Shape', [values]), g.ints([2]), g.ints([3])]);
  return g.op('Reshape', [values, g.op('Concat', [g.ints([-1]), length], { axis: int(0) })]);
}

/** The mask of a sentence for each of its two pictures: [examples, length] → [examples × 2, length]. */
export const maskForPictures = (m: ModelGraph, mask: Value): Value =>
  joinPictures(m, m.g.op('Expand', [m.g.op('Unsqueeze', [mask, m.g.ints([1])]), m.g.ints([1, 2, 1])]));

/** The rows of a sentence for each of its two pictures: [examples × length, H] → [examples × 2 × length, H]. */
export function rowsForPictures(m: ModelGraph, rows: Value, { bySample: shape }: Stream): Value {
  const { g } = m;
  const sentences = g.op('Unsqueeze', [g.op('Reshape', [rows, shape]), g.ints([1])]);
  return rowsOf(m, g.op('Expand', [sentences, g.ints([1, 2, 1, 1])]), m.config.hiddenSize);
}

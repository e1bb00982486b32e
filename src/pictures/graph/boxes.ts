import { int } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';

/** Edges and sizes of boxes, each of the shape [N, 1]. */
interface Edges {
  readonly x1: Value;
  readonly y1: Value;
  readonly x2: Value;
  readonly y2: Value;
}

/** Column `i` of a tensor [N, columns], as [N, 1]. */
export const column = (g: GraphBuilder, values: Value, i: number): Value =>
  g.op('Slice', [values, g.ints([i]), g.ints([i + 1]), g.ints([1])]);

const edgesOf = (g: GraphBuilder, boxes: Value): Edges => ({
  x1: column(g, boxes, 0),
  y1: column(g, boxes, 1),
  x2: column(g, boxes, 2),
  y2: column(g, boxes, 3),
});

/** The largest growth of a side, as a logarithm: from 16 to 1000 pixels (detectron2's `scale_clamp`). */
const maxGrowth = Math.log(1000 / 16);

/**
 * Moves and resizes boxes [N, 4] by deltas [N, 4]. The deltas of x and y are shares of width and height, and the deltas
 * of the sizes are logarithms.
 * @param weights the numbers by which the four deltas were multiplied in training
 * @param plusOne true: Caffe's geometry, in which the last pixel belongs to a box and growth has no limit; false:
 *   detectron2's
 */
export function applyDeltas(
  g: GraphBuilder,
  boxes: Value,
  deltas: Value,
  weights: readonly number[],
  plusOne: boolean,
): Value {
  const { x1, y1, x2, y2 } = edgesOf(g, boxes);
  const half = g.floats([0.5]);
  const scaled = weights.every((weight) => weight === 1) ? deltas : g.op('Div', [deltas, g.floats(weights, [1, 4])]);
  const axis = (from: Value, to: Value, move: number): [Value, Value] => {
    const size = sizeOf(g, from, to, plusOne);
    const centre = g.op('Add', [from, g.op('Mul', [size, half])]);
    const given = column(g, scaled, move + 2);
    const growth = plusOne ? given : g.op('Min', [given, g.floats([maxGrowth])]);
    const newCentre = g.op('Add', [g.op('Mul', [column(g, scaled, move), size]), centre]);
    const newHalf = g.op('Mul', [g.op('Mul', [g.op('Exp', [growth]), size]), half]);
    return [g.op('Sub', [newCentre, newHalf]), g.op('Add', [newCentre, newHalf])];
  };
  const [left, right] = axis(x1, x2, 0);
  const [top, bottom] = axis(y1, y2, 1);
  return g.op('Concat', [left, top, right, bottom], { axis: int(1) });
}

function sizeOf(g: GraphBuilder, from: Value, to: Value, plusOne: boolean): Value {
  const size = g.op('Sub', [to, from]);
  return plusOne ? g.op('Add', [size, g.floats([1])]) : size;
}

/** Cuts boxes [N, 4] at 0 and at `limits`, which are [1, 4]: x, y, x, y. */
export const clip = (g: GraphBuilder, boxes: Value, limits: Value): Value =>
  g.op('Min', [g.op('Max', [boxes, g.floats([0])]), limits]);

/**
 * The rows of the boxes [N, 4] whose sides are large enough: [M], in ascending order. In Caffe's geometry a side must
 * have at least `least` pixels. In detectron2's geometry it must be longer than `least`.
 * @param least [1]
 */
export function rowsOfSize(
  g: GraphBuilder,
  boxes: Value,
  { least, plusOne }: { readonly least: Value; readonly plusOne: boolean },
): Value {
  const { x1, y1, x2, y2 } = edgesOf(g, boxes);
  const enough = (from: Value, to: Value) =>
    g.op(plusOne ? 'GreaterOrEqual' : 'Greater', [sizeOf(g, from, to, plusOne), least]);
  return rowsWhere(g, g.op('And', [enough(x1, x2), enough(y1, y2)]));
}

/** The places of the true values of a tensor with N elements: [M]. */
export const rowsWhere = (g: GraphBuilder, values: Value): Value =>
  g.op('Reshape', [g.op('NonZero', [g.op('Reshape', [values, g.ints([-1])])]), g.ints([-1])]);

export interface Suppression {
  /** The largest number of boxes to keep of a class: [1] of int64. */
  readonly most: Value;
  /** A box is removed if its IoU with a better box is above the threshold; in Caffe's geometry also if it is equal. */
  readonly threshold: number;
  readonly plusOne: boolean;
}

/** The largest float32 below a number. */
function floatBelow(value: number): number {
  const [float, bits] = [new Float32Array(1), new Uint32Array(1)];
  float[0] = value;
  if (float[0] < value) return float[0];
  bits.set(new Uint32Array(float.buffer));
  bits[0] -= 1;
  return new Float32Array(bits.buffer)[0];
}

/**
 * Non-maximum suppression of boxes [N, 4] by scores [C, N], separately for each class.
 * @returns [M, 3] of int64: 0, class, row. The best rows of a class come first. If scores are equal, the earlier row
 *   counts as better
 */
export function suppressEach(
  g: GraphBuilder,
  boxes: Value,
  scores: Value,
  { most, threshold, plusOne }: Suppression,
): Value {
  const closed = plusOne ? g.op('Add', [boxes, g.floats([0, 0, 1, 1], [1, 4])]) : boxes;
  return g.op('NonMaxSuppression', [
    g.op('Unsqueeze', [closed, g.ints([0])]),
    g.op('Unsqueeze', [scores, g.ints([0])]),
    most,
    // The operator keeps a box whose IoU equals the threshold.
    g.floats([plusOne ? floatBelow(threshold) : threshold]),
  ]);
}

/** The rows of boxes [N, 4] that non-maximum suppression by scores [N] keeps, best first: [M]. */
export function suppress(g: GraphBuilder, boxes: Value, scores: Value, options: Suppression): Value {
  const selected = suppressEach(g, boxes, g.op('Unsqueeze', [scores, g.ints([0])]), options);
  return g.op('Reshape', [column(g, selected, 2), g.ints([-1])]);
}

export const gather = (g: GraphBuilder, values: Value, rows: Value, output?: string): Value =>
  g.op('Gather', [values, rows], { axis: int(0) }, output);

import { int, ints } from './graph.js';
import type { GraphBuilder, Value } from './graph.js';

/** Edges and sizes of boxes, each of the shape [N, 1]. */
interface Edges {
  readonly x1: Value;
  readonly y1: Value;
  readonly x2: Value;
  readonly y2: Value;
}

/** Column `i` of a tensor [N, columns], as [N, 1]. */
const column = (g: GraphBuilder, values: Value, i: number): Value =>
  g.op('Slice', [values, g.ints([i]), g.ints([i + 1]), g.ints([1])]);

const edgesOf = (g: GraphBuilder, boxes: Value): Edges => ({
  x1: column(g, boxes, 0),
  y1: column(g, boxes, 1),
  x2: column(g, boxes, 2),
  y2: column(g, boxes, 3),
});

/** No box grows by more than from 16 to 1000 pixels: detectron2's `scale_clamp`. */
const maxGrowth = Math.log(1000 / 16);

/**
 * Moves and stretches boxes [N, 4] by deltas [N, 4]: x and y as shares of width and height, the sizes as logarithms.
 * Widths are x2 − x1 (detectron2's geometry).
 * @param weights what each kind of delta was multiplied by in training
 */
export function applyDeltas(g: GraphBuilder, boxes: Value, deltas: Value, weights: readonly number[]): Value {
  const { x1, y1, x2, y2 } = edgesOf(g, boxes);
  const half = g.floats([0.5]);
  const scaled = weights.every((weight) => weight === 1) ? deltas : g.op('Div', [deltas, g.floats(weights, [1, 4])]);
  const axis = (from: Value, to: Value, move: number): [Value, Value] => {
    const size = g.op('Sub', [to, from]);
    const centre = g.op('Add', [from, g.op('Mul', [size, half])]);
    const growth = g.op('Min', [column(g, scaled, move + 2), g.floats([maxGrowth])]);
    const newCentre = g.op('Add', [g.op('Mul', [column(g, scaled, move), size]), centre]);
    const newHalf = g.op('Mul', [g.op('Mul', [g.op('Exp', [growth]), size]), half]);
    return [g.op('Sub', [newCentre, newHalf]), g.op('Add', [newCentre, newHalf])];
  };
  const [left, right] = axis(x1, x2, 0);
  const [top, bottom] = axis(y1, y2, 1);
  return g.op('Concat', [left, top, right, bottom], { axis: int(1) });
}

/** Cuts boxes [N, 4] at 0 and at `limits`, which are [1, 4]: width, height, width, height. */
export const clip = (g: GraphBuilder, boxes: Value, limits: Value): Value =>
  g.op('Min', [g.op('Max', [boxes, g.floats([0])]), limits]);

/** The rows of boxes [N, 4] that are wider and higher than `least` pixels: [M], in order. */
export function rowsLargerThan(g: GraphBuilder, boxes: Value, least: number): Value {
  const { x1, y1, x2, y2 } = edgesOf(g, boxes);
  const larger = (from: Value, to: Value) => g.op('Greater', [g.op('Sub', [to, from]), g.floats([least])]);
  const both = g.op('And', [larger(x1, x2), larger(y1, y2)]);
  return g.op('Squeeze', [g.op('NonZero', [g.op('Reshape', [both, g.ints([-1])])]), g.ints([0])]);
}

/**
 * Rows of the boxes [N, 4] that non-maximum suppression by scores [N] keeps, best first: [M]. A box goes when its IoU with
 * a better one is above the threshold; of equal scores the first counts as better.
 */
export function suppress(g: GraphBuilder, boxes: Value, scores: Value, most: number, threshold: number): Value {
  const selected = g.op('NonMaxSuppression', [
    g.op('Unsqueeze', [boxes, g.ints([0])]),
    g.op('Unsqueeze', [scores, g.ints([0, 1])]),
    g.ints([most]),
    g.floats([threshold]),
  ]);
  return g.op('Reshape', [g.op('Slice', [selected, g.ints([2]), g.ints([3]), g.ints([1])]), g.ints([-1])]);
}

export const gather = (g: GraphBuilder, values: Value, rows: Value, output?: string): Value =>
  g.op('Gather', [values, rows], { axis: int(0) }, output);

/**
 * Anchors of all cells of a map [1, C, H, W]: [H × W × A, 4], row by row.
 * @param cell the anchors around the point 0, 0
 */
export function gridAnchors(g: GraphBuilder, map: Value, cell: readonly (readonly number[])[], stride: number): Value {
  const places = (axis: number, dims: readonly number[], mask: readonly number[]): Value => {
    const size = g.op('Reshape', [
      g.op('Slice', [g.op('Shape', [map]), g.ints([axis]), g.ints([axis + 1])]),
      g.ints([], [0]),
    ]);
    const steps = g.op('Cast', [g.op('Range', [g.ints([0], []), size, g.ints([1], [])])], { to: int(1) });
    const pixels = g.op('Mul', [steps, g.floats([stride])]);
    return g.op('Mul', [g.op('Reshape', [pixels, g.ints(dims)]), g.floats(mask)]);
  };
  const y = places(2, [-1, 1, 1, 1], [0, 1, 0, 1]);
  const x = places(3, [1, -1, 1, 1], [1, 0, 1, 0]);
  const base = g.floats(cell.flat(), [1, 1, cell.length, 4]);
  return g.op('Reshape', [g.op('Add', [g.op('Add', [base, x]), y]), g.ints([-1, 4])]);
}

/**
 * detectron2's anchors around a point: sizes outside, ratios of height to width inside; centred, not rounded.
 * @returns [sizes × ratios][x1, y1, x2, y2]
 */
export function cellAnchors(sizes: readonly number[], ratios: readonly number[]): readonly (readonly number[])[] {
  return sizes.flatMap((size) =>
    ratios.map((ratio) => {
      const width = Math.sqrt(size ** 2 / ratio);
      const height = ratio * width;
      return [-width / 2, -height / 2, width / 2, height / 2];
    }),
  );
}

/** The values of a map [1, A × each, H, W], cell by cell and anchor by anchor: [H × W × A, each], or a vector for each = 1. */
export const byAnchor = (g: GraphBuilder, map: Value, each: number): Value =>
  g.op('Reshape', [
    g.op('Transpose', [map], { perm: ints(0, 2, 3, 1) }),
    each === 1 ? g.ints([-1]) : g.ints([-1, each]),
  ]);

import { int } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';

/** Boxes around a point: [sizes × ratios][x1, y1, x2, y2]. */
type Anchors = readonly (readonly number[])[];

/**
 * detectron2's anchors. The outer order is by size, the inner order by the ratio of height to width. Anchors are
 * centred on the point and not rounded.
 */
export function cellAnchors(sizes: readonly number[], ratios: readonly number[]): Anchors {
  return sizes.flatMap((size) =>
    ratios.map((ratio) => {
      const width = Math.sqrt(size ** 2 / ratio);
      const height = ratio * width;
      return [-width / 2, -height / 2, width / 2, height / 2];
    }),
  );
}

/** The side, in pixels, of the square from which Caffe's anchors are made. */
const base = 16;

/** Rounds as numpy does: a half is rounded to the even neighbour. */
const rounded = (value: number): number => {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
};

/**
 * Caffe's anchors (`generate_anchors.py`). The outer order is by the ratio of height to width, the inner order by size.
 * A square of 16 × 16 pixels is changed to each ratio, its sides are rounded, and it is then scaled to each size. The
 * centre of all anchors is 7.5, 7.5, and the last pixel belongs to the anchor.
 */
export function caffeAnchors(sizes: readonly number[], ratios: readonly number[]): Anchors {
  const centre = (base - 1) / 2;
  return ratios.flatMap((ratio) => {
    const width = rounded(Math.sqrt(base ** 2 / ratio));
    const height = rounded(width * ratio);
    return sizes.map((size) => {
      const [w, h] = [(width * size) / base, (height * size) / base];
      return [centre - (w - 1) / 2, centre - (h - 1) / 2, centre + (w - 1) / 2, centre + (h - 1) / 2];
    });
  });
}

/**
 * Anchors of all cells of a map [1, C, H, W]: [H × W × A, 4], row by row.
 * @param cell the anchors around the point 0, 0
 */
export function gridAnchors(g: GraphBuilder, map: Value, cell: Anchors, stride: number): Value {
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
  const around = g.floats(cell.flat(), [1, 1, cell.length, 4]);
  return g.op('Reshape', [g.op('Add', [g.op('Add', [around, x]), y]), g.ints([-1, 4])]);
}

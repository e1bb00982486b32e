/**
 * A detector for the pictures of `lxmert scenes --png`. Its weights are written by hand and not learnt from data. They
 * contain the four colours, and use the fact that each of the 3 × 3 cells of a picture has at most one object. The
 * graph computes all other values from the pixels.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeOnnx } from '../../src/formats/onnx.js';
import { graphBuilder, int, ints } from '../../src/formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../src/formats/onnxBuilder.js';

/** Red, green and blue of the background, and of the colours in the order of the scenes' attributes. */
const paints = [
  [0xf4, 0xf1, 0xea],
  [0xd7, 0x26, 0x3d],
  [0x2a, 0x9d, 0x4a],
  [0x23, 0x64, 0xd2],
  [0xf2, 0xb7, 0x05],
];

/** Shares of its box that a circle, a square, a triangle and a star cover. */
const fills = [Math.PI / 4, 1, 0.5, 0.302];

/** The side of the prepared picture in pixels, the side of a cell in pixels, and the number of cells in a row. */
const side = 288;
const cells = 3;
const cell = side / cells;

/**
 * The feature of an object: a circle, a square, a triangle, a star; four colours; size and place of the box; the share
 * of the box that the object covers.
 */
export const featureDim = 13;

/**
 * Finds the nearest of the given numbers: [N, 1] becomes [N, count], which is 1 for the nearest number and 0 for all
 * others.
 */
function nearest(g: GraphBuilder, values: Value, to: readonly number[]): Value {
  const distance = g.op('Abs', [g.op('Sub', [values, g.floats(to, [1, to.length])])]);
  return oneHot(g, g.op('ArgMin', [distance], { axis: int(1), keepdims: int(1) }), to.length);
}

const oneHot = (g: GraphBuilder, index: Value, count: number): Value =>
  g.op(
    'Cast',
    [
      g.op('Equal', [
        index,
        g.ints(
          Array.from({ length: count }, (_, i) => i),
          [1, count],
        ),
      ]),
    ],
    { to: int(1) },
  );

/** Writes `scenes.onnx` and `scenes.yaml`. @returns the YAML's path */
export function writeSceneDetector(folder: string): string {
  const g = graphBuilder();
  // Finds the colour p that is nearest to a pixel x, with a convolution: the value 2 p·x − |p|² is largest for this
  // colour.
  const weights = g.weight(
    'paints',
    [5, 3, 1, 1],
    Float32Array.from(paints.flat(), (level) => (2 * level) / 255),
  );
  const norms = paints.map((paint) => -paint.reduce((sum, level) => sum + (level / 255) ** 2, 0));
  const likeness = g.op('Conv', ['image', weights, g.weight('norms', [5], Float32Array.from(norms))], {
    kernel_shape: ints(1, 1),
  });
  const paint = g.op('ArgMax', [likeness], { axis: int(1), keepdims: int(1) });
  const masks = g.op('Cast', [g.op('Equal', [paint, g.ints([1, 2, 3, 4], [1, 4, 1, 1])])], { to: int(1) });
  // [cell, paint, row, column]
  const byCell = g.op('Reshape', [
    g.op('Transpose', [g.op('Reshape', [masks, g.ints([4, cells, cell, cells, cell])])], { perm: ints(1, 3, 0, 2, 4) }),
    g.ints([cells * cells, 4, cell, cell]),
  ]);
  const areas = g.op('ReduceSum', [byCell, g.ints([2, 3])], { keepdims: int(0) });
  const colour = oneHot(g, g.op('ArgMax', [areas], { axis: int(1), keepdims: int(1) }), 4);
  const area = g.op('ReduceMax', [areas, g.ints([1])], { keepdims: int(1) });
  const there = g.op('Cast', [g.op('Greater', [area, g.floats([100])])], { to: int(1) });
  const mask = g.op('ReduceMax', [g.op('Mul', [byCell, g.op('Unsqueeze', [colour, g.ints([2, 3])])]), g.ints([1])], {
    keepdims: int(0),
  });
  const edges = (over: number) => {
    const profile = g.op('ReduceMax', [mask, g.ints([over])], { keepdims: int(0) });
    const at = (which: number) =>
      g.op('Cast', [g.op('ArgMax', [profile], { axis: int(1), keepdims: int(1), select_last_index: int(which) })], {
        to: int(1),
      });
    return [at(0), g.op('Add', [at(1), g.floats([1])])];
  };
  const [left, right] = edges(1);
  const [top, bottom] = edges(2);
  const index = Array.from({ length: cells * cells }, (_, i) => i);
  const columns = g.floats(
    index.map((i) => (i % cells) * cell),
    [cells * cells, 1],
  );
  const rows = g.floats(
    index.map((i) => Math.floor(i / cells) * cell),
    [cells * cells, 1],
  );
  const placed = (value: Value, start: Value) => g.op('Div', [g.op('Add', [value, start]), g.floats([side])]);
  const box = [placed(left, columns), placed(top, rows), placed(right, columns), placed(bottom, rows)];
  g.op('Concat', box, { axis: int(1) }, 'boxes');
  const width = g.op('Sub', [right, left]);
  const height = g.op('Sub', [bottom, top]);
  const fill = g.op('Div', [area, g.op('Mul', [width, height])]);
  const shape = nearest(g, fill, fills);
  g.op('Mul', [shape, there], {}, 'shapes');
  g.op('Mul', [colour, there], {}, 'colours');
  const share = (value: Value) => g.op('Div', [value, g.floats([cell])]);
  const features = g.op('Concat', [shape, colour, share(width), share(height), box[0], box[1], fill], { axis: int(1) });
  g.op('Identity', [features], {}, 'features');
  const model = {
    name: 'scenes',
    nodes: g.nodes,
    weights: g.weights,
    inputs: [{ name: 'image', type: 'float32' as const, dims: [1, 3, side, side] }],
    outputs: [
      { name: 'boxes', type: 'float32' as const, dims: [9, 4] },
      { name: 'features', type: 'float32' as const, dims: [9, featureDim] },
      { name: 'shapes', type: 'float32' as const, dims: [9, 4] },
      { name: 'colours', type: 'float32' as const, dims: [9, 4] },
    ],
  };
  writeFileSync(join(folder, 'scenes.onnx'), encodeOnnx(model));
  const path = join(folder, 'scenes.yaml');
  writeFileSync(
    path,
    `model: scenes.onnx
input:
  size: { width: ${side}, height: ${side} }
  scale: [255, 255, 255]
outputs: { boxes: boxes, features: features, scores: shapes, attributeScores: colours }
boxes: shares
objects: { least: 1, most: 9, threshold: 0.5 }
classes: 4
attributes: 4
`,
  );
  return path;
}

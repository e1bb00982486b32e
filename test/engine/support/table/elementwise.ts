import { input, normOf, output, update, type CaseRows } from '../opCase.js';
import { gelu, geluDerivative, tanhDerivative } from '../reference/elementwise.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, rowValues, widthFor, type MakeCase, type WorldSize } from '../world.js';

/** y = f(x) in the active rows. In GELU's lower tail x and x erf x cancel, so errors are relative to x. */
function forward(f: (x: number) => number): MakeCase {
  return (rng, size, dtype) => {
    const { rows, width } = shapeOf(rng, size);
    // Some of the values are far in both tails.
    const x = input('x', [rows.capacity, width], rowValues(rng, rows, width, rng.pick([0.05, 1, 4, 30])), dtype);
    const y = output('y', [rows.capacity, width], dtype);
    const values = mapActive(rows, width, (i) => f(x.values[i]));
    const scale = normOf(x.values);
    return { args: [rows, width, x, y], expected: new Map([[y, { values, rows, scale }]]) };
  };
}

/** dx = dy · derivative(kept); dx may be the same memory as dy. */
function backward(kept: (x: number) => number, derivative: (kept: number) => number): MakeCase {
  return (rng, size, dtype) => {
    const { rows, width } = shapeOf(rng, size);
    const values = rowValues(rng, rows, width, rng.pick([0.05, 1, 4])).map(kept);
    const shape = [rows.capacity, width];
    const keep = input('kept', shape, values, dtype);
    const inPlace = rng.chance(0.5);
    const gradient = rowValues(rng, rows, width);
    const dy = inPlace ? update('dy = dx', shape, gradient, dtype) : input('dy', shape, gradient, dtype);
    const dx = inPlace ? dy : output('dx', shape, dtype);
    const given = Float64Array.from(dy.values); // dx may overwrite it
    const expected = mapActive(rows, width, (i) => given[i] * derivative(keep.values[i]));
    const wanted = { values: expected, rows, scale: normOf(given) };
    return { args: [rows, width, keep, dy, dx], expected: new Map([[dx, wanted]]) };
  };
}

function shapeOf(rng: Rng, size?: WorldSize): { rows: CaseRows; width: number } {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(anySet));
  return { rows, width: widthFor(rng, rows, world) };
}

function mapActive({ capacity, active }: CaseRows, width: number, f: (i: number) => number): Float64Array {
  const values = new Float64Array(capacity * width);
  for (const row of active) for (let i = row * width; i < (row + 1) * width; i++) values[i] = f(i);
  return values;
}

export const elementwiseOps = {
  geluForward: forward(gelu),
  geluBackward: backward((x) => x, geluDerivative),
  tanhForward: forward(Math.tanh),
  tanhBackward: backward(Math.tanh, tanhDerivative),
};

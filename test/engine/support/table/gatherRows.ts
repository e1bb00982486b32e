import { input, output, update, type CaseArgument, type CaseRows, type OpCase } from '../opCase.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, rowValues, widths } from '../world.js';

/** Indices repeat, and some lie outside: those give zeros and take nothing. */
function setting(rng: Rng) {
  const rows = makeWorld(rng).rows(rng.pick(anySet));
  const width = rng.pick(widths);
  const fromRows = rng.int(1, 30);
  const outside = [-1, -2147483648, fromRows, 2147483647];
  const indices = Int32Array.from({ length: rows.capacity }, () =>
    rng.chance(0.15) ? rng.pick(outside) : rng.int(0, fromRows - 1),
  );
  const first: CaseArgument[] = [rows, width, fromRows, input('indices', [rows.capacity], indices)];
  return { rows, width, fromRows, indices, first };
}

/** visit(row, index) for each active row whose index is inside. */
function gathered(rows: CaseRows, indices: Int32Array, fromRows: number, visit: (row: number, index: number) => void) {
  for (const row of rows.active) if (indices[row] >= 0 && indices[row] < fromRows) visit(row, indices[row]);
}

export const gatherRowsOps = {
  gatherRowsForward(rng: Rng): OpCase {
    const { rows, width, fromRows, indices, first } = setting(rng);
    const from = input('from', [fromRows, width], rng.floats(fromRows * width));
    const to = output('to', [rows.capacity, width]);
    const values = new Float64Array(rows.capacity * width);
    gathered(rows, indices, fromRows, (row, index) => {
      values.set(from.values.subarray(index * width, (index + 1) * width), row * width);
    });
    return { args: [...first, from, to], expected: new Map([[to, { values, rows, exact: true }]]) };
  },

  gatherRowsBackward(rng: Rng): OpCase {
    const { rows, width, fromRows, indices, first } = setting(rng);
    const from = update('dFrom', [fromRows, width], rng.floats(fromRows * width));
    const to = input('dTo', [rows.capacity, width], rowValues(rng, rows, width));
    const values = Float64Array.from(from.values);
    gathered(rows, indices, fromRows, (row, index) => {
      for (let c = 0; c < width; c++) values[index * width + c] += to.values[row * width + c];
    });
    return { args: [...first, from, to], expected: new Map([[from, { values }]]) };
  },
};

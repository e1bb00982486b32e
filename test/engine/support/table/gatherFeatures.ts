import { halfInput, input, output, type FloatType, type OpCase } from '../opCase.js';
import { gatherRowsForward } from '../reference/gatherRows.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, widthFor, type WorldSize } from '../world.js';

/** A table of float16 numbers of any size, including subnormal numbers and NaN. Indices repeat, and some are outside the table. */
export const gatherFeaturesOps = {
  gatherFeatures(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const world = makeWorld(rng, { size });
    const rows = world.rows(rng.pick(anySet));
    const width = widthFor(rng, rows, world);
    const fromRows = rng.int(1, 30);
    const outside = [-1, -2147483648, fromRows, 2147483647];
    const indices = Int32Array.from({ length: rows.capacity }, () =>
      rng.chance(0.15) ? rng.pick(outside) : rng.int(0, fromRows - 1),
    );
    const numbers = rng
      .floats(fromRows * width)
      .map((x) => (rng.chance(0.02) ? rng.pick([NaN, Infinity, -Infinity]) : x * 2 ** rng.int(-22, 12)));
    const table = halfInput('table', [fromRows, width], numbers);
    const to = output('to', [rows.capacity, width], rng.chance(0.3) ? 'f32' : dtype);
    const values = gatherRowsForward(
      { active: rows.active, capacity: rows.capacity, width, fromRows },
      indices,
      table.values,
    );
    return {
      args: [rows, width, fromRows, input('indices', [rows.capacity], indices), table, to],
      expected: new Map([[to, { values, rows, exact: true }]]),
    };
  },
};

import { added, input, output, update, type CaseArgument, type FloatType, type OpCase } from '../opCase.js';
import { gatherRowsBackward, gatherRowsForward } from '../reference/gatherRows.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, rowValues, widthFor, type WorldSize } from '../world.js';

/** Indices repeat, and some are outside the table. */
function setting(rng: Rng, size?: WorldSize) {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(anySet));
  const width = widthFor(rng, rows, world);
  const fromRows = rng.int(1, 30);
  const outside = [-1, -2147483648, fromRows, 2147483647];
  const indices = Int32Array.from({ length: rows.capacity }, () =>
    rng.chance(0.15) ? rng.pick(outside) : rng.int(0, fromRows - 1),
  );
  const s = { active: rows.active, capacity: rows.capacity, width, fromRows };
  const first: CaseArgument[] = [rows, width, fromRows, input('indices', [rows.capacity], indices)];
  return { rows, s, indices, first };
}

export const gatherRowsOps = {
  gatherRowsForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, indices, first } = setting(rng, size);
    const from = input('from', [s.fromRows, s.width], rng.floats(s.fromRows * s.width), dtype);
    const to = output('to', [s.capacity, s.width], dtype);
    const values = gatherRowsForward(s, indices, from.values);
    return { args: [...first, from, to], expected: new Map([[to, { values, rows, exact: true }]]) };
  },

  gatherRowsBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, indices, first } = setting(rng, size);
    const from = update('dFrom', [s.fromRows, s.width], rng.floats(s.fromRows * s.width), dtype);
    const to = input('dTo', [s.capacity, s.width], rowValues(rng, rows, s.width), dtype);
    const values = added(from, gatherRowsBackward(s, indices, to.values));
    return { args: [...first, from, to], expected: new Map([[from, { values }]]) };
  },
};

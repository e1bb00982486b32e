import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';

/**
 * `to[i] = from[indices[i]]`: `from` [any, H] and `indices` [rows] → [rows, H]. An index that is not a row of `from` gives a
 * row of zeros. The result is written to `out` if it is given.
 */
export function gatherRows(tape: Tape, rows: Rows, from: Tensor, indices: Tensor, out?: Tensor): Tensor {
  const [fromRows, width] = from.shape;
  checkShape('gatherRows', 'indices', indices, [rows.capacity], 'i32');
  const to = out ?? tape.activation([rows.capacity, width]);
  tape.engine.run('gatherRowsForward', [rows, width, fromRows, indices, from, to]);
  tape.record([to], () => {
    const dTo = tape.gradient(to);
    const dFrom = tape.addTarget(from);
    if (dTo && dFrom) tape.engine.run('gatherRowsBackward', [rows, width, fromRows, indices, dFrom, dTo]);
  });
  return to;
}

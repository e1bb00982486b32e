import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** GELU with the error function, not its tanh approximation: [rows, width] → [rows, width]. */
export function gelu(tape: Tape, rows: Rows, x: Tensor): Tensor {
  const width = x.shape[1];
  const y = tape.activation(x.shape);
  tape.engine.run('geluForward', [rows, width, x, y]);
  tape.record([y], () => {
    const dy = tape.gradient(y);
    const dx = tape.target(x);
    if (dy && dx) tape.engine.run('geluBackward', [rows, width, x, dy, dx.tensor]);
  });
  return y;
}

/** tanh: [rows, width] → [rows, width]. */
export function tanh(tape: Tape, rows: Rows, x: Tensor): Tensor {
  const width = x.shape[1];
  const y = tape.activation(x.shape);
  tape.engine.run('tanhForward', [rows, width, x, y]);
  tape.record([y], () => {
    const dy = tape.gradient(y);
    const dx = tape.target(x);
    if (dy && dx) tape.engine.run('tanhBackward', [rows, width, y, dy, dx.tensor]);
  });
  return y;
}

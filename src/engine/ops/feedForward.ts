import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';
import {
  linearBackward,
  linearBackwardInput,
  linearBackwardWeight,
  linearForward,
  type LinearWeights,
} from './linear.js';

export interface FeedForwardWeights {
  /** hidden → intermediate */
  readonly intermediate: LinearWeights;
  /** intermediate → hidden */
  readonly output: LinearWeights;
}

/**
 * `W₂ gelu(W₁ x + b₁) + b₂` on each active row: [rows, H] → [rows, H]. Only the input of GELU is kept; its output is
 * made again in the backward pass.
 */
export function feedForward(tape: Tape, rows: Rows, x: Tensor, weights: FeedForwardWeights): Tensor {
  const { engine } = tape;
  const [inner] = weights.intermediate.weight.tensor.shape;
  const [width] = weights.output.weight.tensor.shape;
  const h = tape.activation([rows.capacity, inner]);
  const y = tape.activation([rows.capacity, width]);
  linearForward(tape, rows, x, weights.intermediate, h);
  tape.temporary(h.shape, (activated) => {
    engine.run('geluForward', [rows, inner, h, activated]);
    linearForward(tape, rows, activated, weights.output, y);
  });
  tape.record([y], () => {
    const dy = tape.gradient(y);
    if (!dy) return;
    tape.temporary(h.shape, (dh) => {
      tape.temporary(h.shape, (activated) => {
        engine.run('geluForward', [rows, inner, h, activated]);
        linearBackwardWeight(tape, rows, activated, weights.output, dy);
      });
      linearBackwardInput(tape, rows, weights.output, dy, dh, false);
      engine.run('geluBackward', [rows, inner, h, dh, dh]);
      linearBackward(tape, rows, x, weights.intermediate, dh);
    });
  });
  return y;
}

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
 * `W₂ gelu(W₁ x + b₁) + b₂` on each active row: [rows, H] → [rows, H]. The input of GELU is kept for the backward pass.
 * CUDA also keeps the output of GELU. The CPU computes it again to save memory.
 */
export function feedForward(tape: Tape, rows: Rows, x: Tensor, weights: FeedForwardWeights): Tensor {
  const { engine } = tape;
  const [inner] = weights.intermediate.weight.tensor.shape;
  const [width] = weights.output.weight.tensor.shape;
  const h = tape.activation([rows.capacity, inner]);
  const y = tape.activation([rows.capacity, width]);
  const kept = engine.device === 'cuda' && tape.training && tape.parameterGradients ? tape.activation(h.shape) : null;
  const activate = (to: Tensor): void => engine.run('geluForward', [rows, inner, h, to]);
  const activated = (use: (activated: Tensor) => void): void =>
    tape.temporary(h.shape, (place) => {
      activate(place);
      use(place);
    });

  linearForward(tape, rows, x, weights.intermediate, h);
  if (kept) {
    activate(kept);
    linearForward(tape, rows, kept, weights.output, y);
  } else activated((a) => linearForward(tape, rows, a, weights.output, y));
  tape.record([y], () => {
    const dy = tape.gradient(y);
    if (!dy) return;
    tape.temporary(h.shape, (dh) => {
      if (kept) linearBackwardWeight(tape, rows, kept, weights.output, dy);
      else if (tape.parameterGradients) activated((a) => linearBackwardWeight(tape, rows, a, weights.output, dy));
      linearBackwardInput(tape, rows, weights.output, dy, dh, false);
      engine.run('geluBackward', [rows, inner, h, dh, dh]);
      linearBackward(tape, rows, x, weights.intermediate, dh);
    });
  });
  return y;
}

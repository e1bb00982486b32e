import type { Engine } from '../engine.js';
import type { Parameter } from '../gradientLedger.js';
import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';

export interface LinearWeights {
  /** [out, in], the layout of PyTorch. */
  readonly weight: Parameter;
  /** [out] */
  readonly bias?: Parameter;
}

/** `x W^T + b` on each active row: [rows, in] → [rows, out]. In inactive rows the result is any finite number. */
export function linear(tape: Tape, rows: Rows, x: Tensor, weights: LinearWeights): Tensor {
  const [width] = weights.weight.tensor.shape;
  const y = tape.activation([rows.capacity, width]);
  linearForward(tape, rows, x, weights, y);
  tape.record([y], () => {
    const dy = tape.gradient(y);
    if (dy) linearBackward(tape, rows, x, weights, dy);
  });
  return y;
}

/** Does only the forward pass, and writes to `y`. */
export function linearForward(tape: Tape, rows: Rows, x: Tensor, { weight, bias }: LinearWeights, y: Tensor): void {
  const [out, width] = weight.tensor.shape;
  checkShape('linear', 'x', x, [rows.capacity, width]);
  checkShape('linear', 'y', y, [rows.capacity, out]);
  if (bias) checkShape('linear', 'bias', bias.tensor, [out], 'f32');
  tape.engine.run('linearForward', [rows, width, out, x, weight.tensor, bias?.tensor ?? null, y]);
}

/**
 * Does only the backward pass. The gradients of the weights are computed first, because a later op may overwrite `dy`.
 */
export function linearBackward(tape: Tape, rows: Rows, x: Tensor, weights: LinearWeights, dy: Tensor): void {
  linearBackwardWeight(tape, rows, x, weights, dy);
  const dx = tape.target(x);
  if (dx) linearBackwardInput(tape, rows, weights, dy, dx.tensor, dx.accumulate);
}

export function linearBackwardWeight(tape: Tape, rows: Rows, x: Tensor, weights: LinearWeights, dy: Tensor): void {
  if (!tape.parameterGradients) return;
  const { weight, bias } = weights;
  const [out, width] = weight.tensor.shape;
  const dWeight = tape.parameter(weight);
  const dBias = bias && tape.parameter(bias);
  tape.engine.run('linearBackwardWeight', [
    rows,
    width,
    out,
    dWeight.accumulate,
    dBias?.accumulate ?? false,
    x,
    dy,
    dWeight.tensor,
    dBias?.tensor ?? null,
  ]);
}

export function linearBackwardInput(
  tape: Tape,
  rows: Rows,
  { weight }: LinearWeights,
  dy: Tensor,
  dx: Tensor,
  accumulate: boolean,
): void {
  const [out, width] = weight.tensor.shape;
  tape.engine.run('linearBackwardInput', [rows, width, out, accumulate, dy, weight.tensor, dx]);
}

/**
 * Lays a weight [out, in] out as forward products read it fastest, in place and without more memory. Its values stay, but
 * are rounded to bfloat16 in an engine of this precision. Afterwards `linear`, its backward pass without gradients of
 * parameters, reads and uploads may use the weight, and no other op may. Where a layout of its own does not help (on CUDA,
 * without AVX-512, for sizes that are not multiples of 64), nothing changes.
 */
export function packWeight(engine: Engine, weight: Tensor): void {
  const [out, width] = weight.shape;
  engine.run('packWeight', [width, out, weight]);
}

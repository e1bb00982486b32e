import type { OpArgument } from '../encodeCall.js';
import type { Parameter } from '../gradientLedger.js';
import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';

export interface LayerNormWeights {
  /** γ and β, [H] each. */
  readonly weight: Parameter;
  readonly bias: Parameter;
}

/** BERT's epsilon. */
export const layerNormEpsilon = 1e-12;

/** Options of an op that ends with dropout or that adds to a residual stream. */
export interface ResidualOptions {
  readonly dropout: number;
  readonly rowIds: Tensor;
  /** Where to write the result: a block of a buffer of the tape. Default: a new tensor. */
  readonly out?: Tensor;
}

/**
 * `LN(x + dropout(y))` on each active row, [rows, H]. `y` is overwritten with the sum, which the backward pass needs.
 * So `y` must be the output of the previous op, and no other op may read it.
 */
export function residualDropoutLayerNorm(
  tape: Tape,
  rows: Rows,
  x: Tensor,
  y: Tensor,
  weights: LayerNormWeights,
  options: ResidualOptions,
): Tensor {
  checkShape('residualDropoutLayerNorm', 'x', x, [rows.capacity, y.shape[1]]);
  return norm(tape, rows, x, y, weights, options);
}

/** `LN(x)` on each active row, [rows, H]. */
export function layerNorm(tape: Tape, rows: Rows, x: Tensor, weights: LayerNormWeights): Tensor {
  return norm(tape, rows, null, x, weights, null);
}

function norm(
  tape: Tape,
  rows: Rows,
  residual: Tensor | null,
  z: Tensor,
  { weight, bias }: LayerNormWeights,
  options: ResidualOptions | null,
): Tensor {
  const width = weight.tensor.shape[0];
  checkShape('layerNorm', 'y', z, [rows.capacity, width]);
  const stats = tape.activation([rows.capacity, 2], 'f32');
  const out = options?.out ?? tape.activation([rows.capacity, width]);
  checkShape('layerNorm', 'out', out, [rows.capacity, width]);
  const dropout: OpArgument = options
    ? tape.dropout(options.dropout, options.rowIds)
    : { p: 0, instance: 0, rowIds: null };
  tape.engine.run('layerNormForward', [
    rows,
    width,
    layerNormEpsilon,
    dropout,
    z,
    residual,
    weight.tensor,
    bias.tensor,
    out,
    stats,
  ]);
  tape.record([out], () => {
    const dOut = tape.gradient(out);
    const dy = tape.target(z);
    if (!dOut || !dy) return;
    const dResidual = residual && tape.target(residual);
    const dWeight = tape.parameter(weight);
    const dBias = tape.parameter(bias);
    tape.engine.run('layerNormBackward', [
      rows,
      width,
      dropout,
      dResidual?.accumulate ?? false,
      dWeight.accumulate,
      z,
      stats,
      weight.tensor,
      dOut,
      dResidual?.tensor ?? null,
      dy.tensor,
      dWeight.tensor,
      dBias.tensor,
    ]);
  });
  return out;
}

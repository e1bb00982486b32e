import type { OpArgument } from '../encodeCall.js';
import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';
import { layerNormEpsilon, type LayerNormWeights, type ResidualOptions } from './layerNorm.js';
import { linear, type LinearWeights } from './linear.js';

export interface ObjectEmbeddingWeights {
  /** [H, visualFeatDim] and [H, 4], with their biases [H]. */
  readonly feature: Required<LinearWeights>;
  readonly box: Required<LinearWeights>;
  readonly featureNorm: LayerNormWeights;
  readonly boxNorm: LayerNormWeights;
}

/**
 * `dropout((LN(W_f f + b_f) + LN(W_b box + b_b)) / 2)` for each object (LXMERT, section 2.1):
 * features [rows, visualFeatDim] and boxes [rows, 4] → [rows, H].
 */
export function objectEmbedding(
  tape: Tape,
  rows: Rows,
  features: Tensor,
  boxes: Tensor,
  weights: ObjectEmbeddingWeights,
  options: ResidualOptions,
): Tensor {
  const { feature, box, featureNorm, boxNorm } = weights;
  const [width] = feature.weight.tensor.shape;
  checkShape('objectEmbedding', 'boxes', boxes, [rows.capacity, 4], 'f32');
  const x = linear(tape, rows, features, feature);
  const out = options.out ?? tape.activation([rows.capacity, width]);
  const stats = tape.activation([rows.capacity, 4], 'f32');
  const shape: OpArgument[] = [
    rows,
    width,
    tape.dropout(options.dropout, options.rowIds),
    x,
    boxes,
    box.weight.tensor,
    box.bias.tensor,
    featureNorm.weight.tensor,
    boxNorm.weight.tensor,
  ];
  tape.engine.run('objectEmbeddingForward', [
    ...shape,
    layerNormEpsilon,
    featureNorm.bias.tensor,
    boxNorm.bias.tensor,
    out,
    stats,
  ]);
  tape.record([out], () => {
    const dOut = tape.gradient(out);
    if (!dOut || !tape.parameterGradients) return;
    const dx = tape.target(x);
    if (!dx) return;
    const targets = [box.weight, box.bias, featureNorm.weight, featureNorm.bias, boxNorm.weight, boxNorm.bias].map(
      (p) => tape.parameter(p),
    );
    tape.engine.run('objectEmbeddingBackward', [
      ...shape,
      targets[0].accumulate,
      stats,
      dOut,
      dx.tensor,
      ...targets.map((target) => target.tensor),
    ]);
  });
  return out;
}

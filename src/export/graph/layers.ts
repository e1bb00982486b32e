import { float, int } from '../../formats/onnxBuilder.js';
import type { Value } from '../../formats/onnxBuilder.js';
import { number, type ModelGraph } from './modelGraph.js';

/** BERT's epsilon. */
const layerNormEpsilon = 1e-12;

/** `W x + b`: [rows, in] → [rows, out]. The weight has the layout [out, in], as in the weights' files. */
export function linear(m: ModelGraph, x: Value, name: string): Value {
  return product(m, x, `${name}.weight`, `${name}.bias`);
}

/** `linear` with a weight and a bias that do not have the same prefix. */
export function product({ g, weight }: ModelGraph, x: Value, weightName: string, biasName: string): Value {
  return g.op('Gemm', [x, weight(weightName), weight(biasName)], { transB: int(1) });
}

/** Layer norm of each row: [rows, width]. */
export function layerNorm({ g, weight }: ModelGraph, x: Value, name: string): Value {
  const attributes = { axis: int(-1), epsilon: float(layerNormEpsilon) };
  return g.op('LayerNormalization', [x, weight(`${name}.weight`), weight(`${name}.bias`)], attributes);
}

/** `LN(x + y)`, the end of each sub-layer. */
export const addAndNorm = (m: ModelGraph, x: Value, y: Value, name: string): Value =>
  layerNorm(m, m.g.op('Add', [y, x]), name);

/** `x / 2 · (1 + erf(x / √2))`. Opset 17 has no operator for it; onnxruntime recognises this form. */
export function gelu(m: ModelGraph, x: Value): Value {
  const { g } = m;
  const erf = g.op('Erf', [g.op('Div', [x, number(m, Math.SQRT2)])]);
  return g.op('Mul', [g.op('Mul', [x, g.op('Add', [erf, number(m, 1)])]), number(m, 0.5)]);
}

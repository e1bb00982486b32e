import type { OnnxAttribute, OnnxNode, OnnxStoredTensor, OnnxTensor, OnnxValues } from './onnx.js';
import { floatToHalf } from './dtypes.js';

/** The name of a tensor of the graph. */
export type Value = string;

export const int = (value: number): OnnxAttribute => ({ int: value });
export const float = (value: number): OnnxAttribute => ({ float: value });
export const text = (value: string): OnnxAttribute => ({ text: value });
export const ints = (...values: number[]): OnnxAttribute => ({ ints: values });

/** Collects the nodes and the constants of a graph. */
export interface GraphBuilder {
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  readonly stored: readonly OnnxStoredTensor[];
  /** A constant whose values are read when the file is written. A tensor that was given before is not added again. */
  storedWeight(tensor: OnnxStoredTensor): Value;
  /** A float32 constant with the given name. */
  weight(name: string, dims: readonly number[], values: Float32Array): Value;
  /** A small float32 constant. Its shape is `dims`; default: one dimension with all values. */
  floats(values: readonly number[], dims?: readonly number[]): Value;
  /** A small float16 constant, otherwise like `floats`. */
  halves(values: readonly number[], dims?: readonly number[]): Value;
  /** A small int64 constant, with its shape as for `floats`. If `dims` is [], the constant is a scalar. */
  ints(values: readonly number[], dims?: readonly number[]): Value;
  /** Adds a node with one output. `output` is the name of the output; default: a new name. */
  op(
    op: string,
    inputs: readonly Value[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    output?: string,
  ): Value;
  /** Adds a node with two outputs, such as TopK, and returns both outputs. */
  op2(op: string, inputs: readonly Value[], attributes?: Readonly<Record<string, OnnxAttribute>>): [Value, Value];
}

export function graphBuilder(): GraphBuilder {
  const nodes: OnnxNode[] = [];
  const weights: OnnxTensor[] = [];
  const stored: OnnxStoredTensor[] = [];
  const storedNames = new Set<string>();
  const constants = new Map<string, Value>();
  const constant = (values: OnnxValues, dims: readonly number[]): Value => {
    const key = `${Object.prototype.toString.call(values)}_${dims.join('x')}_${values.join('_')}`;
    const known = constants.get(key);
    if (known !== undefined) return known;
    const name = `constant_${constants.size}`;
    constants.set(key, name);
    weights.push({ name, dims, values });
    return name;
  };
  const add = (
    op: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, OnnxAttribute>>,
    outputs: readonly Value[],
  ) => void nodes.push({ op, name: outputs[0], inputs, outputs, attributes });
  return {
    nodes,
    weights,
    stored,
    storedWeight: (tensor) => {
      if (!storedNames.has(tensor.name)) stored.push(tensor);
      storedNames.add(tensor.name);
      return tensor.name;
    },
    weight: (name, dims, values) => (weights.push({ name, dims, values }), name),
    floats: (values, dims = [values.length]) => constant(Float32Array.from(values), dims),
    halves: (values, dims = [values.length]) => constant(Uint16Array.from(values, floatToHalf), dims),
    ints: (values, dims = [values.length]) => constant(BigInt64Array.from(values, BigInt), dims),
    op: (op, inputs, attributes = {}, output = `${op}_${nodes.length}`) => {
      add(op, inputs, attributes, [output]);
      return output;
    },
    op2: (op, inputs, attributes = {}) => {
      const outputs: [Value, Value] = [`${op}_${nodes.length}_0`, `${op}_${nodes.length}_1`];
      add(op, inputs, attributes, outputs);
      return outputs;
    },
  };
}

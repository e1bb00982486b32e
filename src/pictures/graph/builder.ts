import type { OnnxAttribute, OnnxNode, OnnxTensor, OnnxValues } from '../../formats/onnx.js';

/** A tensor of the graph, by its name. */
export type Value = string;

export const int = (value: number): OnnxAttribute => ({ int: value });
export const float = (value: number): OnnxAttribute => ({ float: value });
export const text = (value: string): OnnxAttribute => ({ text: value });
export const ints = (...values: number[]): OnnxAttribute => ({ ints: values });

/** Collects the nodes and the constants of a graph. */
export interface GraphBuilder {
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  /** A constant of float32 with its own name. */
  weight(name: string, dims: readonly number[], values: Float32Array): Value;
  /** A small constant of float32; of the shape [values] unless `dims` are given. */
  floats(values: readonly number[], dims?: readonly number[]): Value;
  /** A small constant of int64, in the same way. `dims` of [] make a scalar. */
  ints(values: readonly number[], dims?: readonly number[]): Value;
  /** A node with one output, of the name `output` if that is given. */
  op(
    op: string,
    inputs: readonly Value[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    output?: string,
  ): Value;
  /** The two outputs of a node that has two, such as TopK. */
  op2(op: string, inputs: readonly Value[], attributes?: Readonly<Record<string, OnnxAttribute>>): [Value, Value];
}

export function graphBuilder(): GraphBuilder {
  const nodes: OnnxNode[] = [];
  const weights: OnnxTensor[] = [];
  const constants = new Map<string, Value>();
  const constant = (values: OnnxValues, dims: readonly number[]): Value => {
    const key = `${values instanceof Float32Array ? 'floats' : 'ints'}_${dims.join('x')}_${values.join('_')}`;
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
    weight: (name, dims, values) => (weights.push({ name, dims, values }), name),
    floats: (values, dims = [values.length]) => constant(Float32Array.from(values), dims),
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

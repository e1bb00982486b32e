import type { ModelConfig } from '../../config/modelConfig.js';
import { int } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import type { OnnxPort } from '../../formats/onnx.js';

/** The numbers of the ONNX element types. */
const elementTypes = { float32: 1, float16: 10 } as const;

/** The type of the weights and of the arithmetic. */
export type Precision = keyof typeof elementTypes;

/** A graph of LXMERT that is being built. */
export interface ModelGraph {
  readonly g: GraphBuilder;
  readonly config: ModelConfig;
  readonly precision: Precision;
  /** The parameter with this name in transformers. It is stored once, however often it is used. */
  readonly weight: (name: string) => Value;
  readonly inputs: OnnxPort[];
  readonly outputs: OnnxPort[];
}

/** A number in the precision of the graph, as a scalar. */
export const number = ({ g, precision }: ModelGraph, value: number): Value =>
  precision === 'float16' ? g.halves([value], []) : g.floats([value], []);

/** Converts a value to the precision of the graph. */
export const toReal = ({ g, precision }: ModelGraph, value: Value): Value =>
  g.op('Cast', [value], { to: int(elementTypes[precision]) });

/** Declares an input of the graph. */
export function input({ inputs }: ModelGraph, name: string, type: OnnxPort['type'], dims: OnnxPort['dims']): Value {
  inputs.push({ name, type, dims });
  return name;
}

/** Makes a value an output of the graph, in float32. */
export function output(
  { g, outputs, precision }: ModelGraph,
  name: string,
  value: Value,
  dims: OnnxPort['dims'],
): void {
  if (precision === 'float32') g.op('Identity', [value], {}, name);
  else g.op('Cast', [value], { to: int(elementTypes.float32) }, name);
  outputs.push({ name, type: 'float32', dims });
}

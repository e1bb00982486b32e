import { LxmertError } from '../../errors.js';
import { shown } from '../../formats/shown.js';
import { epsilon } from '../import/weight.js';
import type { DetectorWeights, Weight } from '../import/weight.js';
import { int, ints } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';

/** The kernel and the bias of a convolution or of a linear layer. */
export interface Layer {
  readonly kernel: Weight;
  readonly bias: Float32Array;
}

/**
 * Reads a convolution without a bias and the batch norm after it, and returns both as one convolution. The batch norm
 * uses its stored statistics.
 * @throws BAD_DATA as `DetectorWeights.get`, and for a variance below 0
 */
export async function foldedConv(weights: DetectorWeights, name: string, shape: readonly number[]): Promise<Layer> {
  const { shape: full, values } = await weights.get(`${name}.weight`, shape);
  const channels = full[0];
  const read = async (part: string) => (await weights.get(`${name}.norm.${part}`, [channels])).values;
  const [gamma, beta] = [await read('weight'), await read('bias')];
  const [mean, variance] = [await read('running_mean'), await read('running_var')];
  const bias = new Float32Array(channels);
  const kernel = new Float32Array(values.length);
  const each = values.length / channels;
  for (let c = 0; c < channels; c++) {
    const scale = gamma[c] / Math.sqrt(variance[c] + epsilon);
    if (!Number.isFinite(scale))
      throw new LxmertError(
        'BAD_DATA',
        `${weights.path}: ${shown(weights.nameInFile(`${name}.norm.running_var`))} holds ${variance[c]} at ${c}; expected a variance of at least 0`,
      );
    bias[c] = beta[c] - mean[c] * scale;
    for (let i = c * each; i < (c + 1) * each; i++) kernel[i] = values[i] * scale;
  }
  return { kernel: { shape: full, values: kernel }, bias };
}

/** Reads a layer that has a bias. */
export async function withBias(weights: DetectorWeights, name: string, shape: readonly number[]): Promise<Layer> {
  const kernel = await weights.get(`${name}.weight`, shape);
  return { kernel, bias: (await weights.get(`${name}.bias`, [kernel.shape[0]])).values };
}

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
  readonly output?: string | undefined;
}

/** A convolution of a map [1, C, H, W]. */
export function conv(
  g: GraphBuilder,
  input: Value,
  name: string,
  { kernel, bias }: Layer,
  { stride = 1, padding = 0, dilation = 1, groups = 1, output }: ConvOptions = {},
): Value {
  return g.op(
    'Conv',
    [input, g.weight(`${name}.weight`, kernel.shape, kernel.values), g.weight(`${name}.bias`, [bias.length], bias)],
    {
      strides: ints(stride, stride),
      pads: ints(padding, padding, padding, padding),
      dilations: ints(dilation, dilation),
      kernel_shape: ints(kernel.shape[2], kernel.shape[3]),
      group: int(groups),
    },
    output,
  );
}

/** A linear layer: [N, in] becomes [N, out]. */
export function linear(g: GraphBuilder, input: Value, name: string, { kernel, bias }: Layer, output?: string): Value {
  const weight = g.weight(`${name}.weight`, kernel.shape, kernel.values);
  return g.op('Gemm', [input, weight, g.weight(`${name}.bias`, [bias.length], bias)], { transB: int(1) }, output);
}

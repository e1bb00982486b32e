import { LxmertError } from '../errors.js';
import { shown } from '../formats/shown.js';
import { openTensors, readFloat32 } from '../weights/index.js';
import type { FileTensor } from '../weights/index.js';

/** A tensor of a detector in memory. */
export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The tensors of a detector, by detectron2's names. */
export interface DetectorWeights {
  readonly path: string;
  has(name: string): boolean;
  /**
   * A tensor of that shape; -1 stands for any size.
   * @throws BAD_DATA naming the tensor that is missing, has another shape, or holds a value that is not finite
   */
  get(name: string, shape: readonly number[]): Promise<Weight>;
  close(): Promise<void>;
}

/** Opens a detector's weights: transformers' folder, a file of tensors, or detectron2's pickle. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA */
export async function openDetectorWeights(path: string): Promise<DetectorWeights> {
  const file = await openTensors(path);
  const byName = new Map<string, FileTensor>(file.tensors.map((tensor) => [tensor.fileName, tensor]));
  return {
    path,
    has: (name) => byName.has(name),
    close: file.close,
    get: async (name, shape) => {
      const tensor = byName.get(name);
      if (!tensor) throw new LxmertError('BAD_DATA', `${path}: the tensor ${shown(name)} is missing`);
      const fits =
        tensor.shape.length === shape.length &&
        tensor.shape.every((size, axis) => size > 0 && (shape[axis] === -1 || shape[axis] === size));
      if (!fits)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: ${shown(name)} is ${sizes(tensor.shape)}; expected ${sizes(shape)}`,
        );
      const values = await readFloat32(tensor, path);
      const at = values.findIndex((value) => !Number.isFinite(value));
      if (at >= 0)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: ${shown(name)} holds ${values[at]} at ${at}; expected finite numbers`,
        );
      return { shape: tensor.shape, values };
    },
  };
}

const sizes = (shape: readonly number[]): string => `[${shape.map((size) => (size === -1 ? '?' : size)).join(', ')}]`;

/** The `eps` of batch norm, in detectron2 and in torch. */
const epsilon = 1e-5;

/** A convolution, its batch norm folded into it. */
export interface FoldedConv {
  readonly kernel: Weight;
  readonly bias: Float32Array;
}

/** Reads a convolution without a bias and the batch norm after it (stored statistics) as one convolution. */
export async function foldedConv(
  weights: DetectorWeights,
  name: string,
  shape: readonly number[],
): Promise<FoldedConv> {
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
        `${weights.path}: ${shown(`${name}.norm.running_var`)} holds ${variance[c]} at ${c}; expected a variance of at least 0`,
      );
    bias[c] = beta[c] - mean[c] * scale;
    for (let i = c * each; i < (c + 1) * each; i++) kernel[i] = values[i] * scale;
  }
  return { kernel: { shape: full, values: kernel }, bias };
}

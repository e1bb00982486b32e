import type { ModelConfig } from '../config/modelConfig.js';
import type { OpName } from '../engine/index.js';
import { wordColumns } from '../model/parameters.js';
import { embeddings, losses } from './embeddingLossKernels.js';
import type { Kernel } from './kernel.js';
import { attention, elementwise, gather, gatherFeatures, layerNorm, linear } from './layerKernels.js';

const adam = [0.9, 0.999, 1e-6, 0.01, 1];
const chunk = 2 ** 16;

/** Kernels whose work grows with the batch. */
export function batchKernels(config: ModelConfig): Kernel[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  return [
    ...linear('stacked', hidden, 3 * hidden),
    ...linear('stacked', hidden, hidden),
    ...linear('vision', hidden, inner),
    ...linear('vision', inner, hidden),
    ...linear('language', hidden, inner),
    ...linear('language', inner, hidden),
    ...linear('vision', config.visualFeatDim, hidden),
    ...linear('vision', hidden, config.numObjectLabels),
    ...linear('maskedTokens', hidden, wordColumns(config)),
    ...linear('samples', 2 * hidden, config.numQaLabels),
    ...elementwise('gelu', 'vision', inner),
    ...elementwise('tanh', 'samples', hidden),
    ...attention(config, 'language'),
    ...attention(config, 'vision'),
    ...attention(config, 'stacked'),
    ...layerNorm(config),
    ...embeddings(config),
    ...gather(config),
    ...gatherFeatures(config),
    ...losses(config),
  ];
}

/** Kernels whose work grows with the number of parameters. */
export function parameterKernels(elements: number): Kernel[] {
  const shape = `${elements / 2 ** 20} Mi parameters`;
  const count = elements / chunk;
  return [
    {
      op: 'gradNorm',
      shape,
      args: (s) => [count, s.chunks, s.floats(elements), 24, s.floats(24), s.floats(count), s.floats(2)],
    },
    {
      op: 'adamUpdate',
      shape,
      args: (s) => {
        const parameters = s.weights(elements);
        const [gradients, first] = [s.floats(elements), s.floats(elements)];
        return [count, ...adam, s.batch.record, s.chunks, parameters, gradients, first, s.zeros(elements), s.zeros(2)];
      },
    },
    { op: 'fill', shape, args: (s) => [0, s.weights(elements)] },
    { op: 'fillNormal', shape, args: (s) => [1, 0, 0, s.weights(elements)] },
  ];
}

/** The optimizer's list of chunks for this number of elements: [n, 2] begin and length. */
export function chunkList(elements: number): Int32Array {
  return Int32Array.from({ length: (2 * elements) / chunk }, (_, i) => (i % 2 === 0 ? (i / 2) * chunk : chunk));
}

/** The ops that are timed: all ops of the table but `packWeight`, which no step calls. */
export function kernelOps(config: ModelConfig): OpName[] {
  return [...new Set([...batchKernels(config), ...parameterKernels(chunk)].map(({ op }) => op))];
}

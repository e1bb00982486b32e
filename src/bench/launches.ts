import type { DType, OpArgument, OpName, Tensor } from '../engine/index.js';

/** A product in bfloat16 first rounds features that are float32. */
const rounding = (x: OpArgument, activations: DType): number => ((x as Tensor).dtype === activations ? 0 : 1);

/** Kernels and products that CUDA launches for a call, for ops that need more than one (native/cuda). */
const several: Partial<Record<OpName, (args: readonly OpArgument[], activations: DType) => number>> = {
  linearForward: ([, , , x], activations) => 1 + rounding(x, activations),
  // The product, and the sums of the bias's gradient in two stages.
  linearBackwardWeight: ([, , , , , x, , , dBias], activations) =>
    1 + (dBias === null ? 0 : 2) + rounding(x, activations),
  layerNormBackward: () => 2,
  tokenEmbeddingBackward: () => 6, // rows; sums of gamma and beta; two kernels for each of two tables
  objectEmbeddingBackward: () => 3,
  gatherRowsBackward: () => 2,
  softmaxCrossEntropyForward: () => 2,
  sigmoidCrossEntropyForward: () => 2,
  smoothL1Forward: () => 2,
  gradNorm: () => 2,
  // The parameters, and their copy that products read.
  fill: ([, x], activations) => ((x as Tensor).arena === 'parameters' && activations === 'bf16' ? 2 : 1),
};

/** Kernels and products that one call of an op launches on CUDA. */
export function launchesOf(op: OpName, args: readonly OpArgument[], activations: DType): number {
  return several[op]?.(args, activations) ?? 1;
}

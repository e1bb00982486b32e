import type { DType, OpArgument, OpName, Rows, Tensor } from '../engine/index.js';

/** A product whose features are float32 where all else is bfloat16 rounds them first. */
const rounding = (x: OpArgument, activations: DType): number => ((x as Tensor).dtype === activations ? 0 : 1);

/** Kernels and products that CUDA launches for a call, of ops that need more than one (native/cuda). */
const several: Partial<Record<OpName, (args: readonly OpArgument[], activations: DType) => number>> = {
  // The product; a bias has filled rows that no sample uses, which are zeroed again.
  linearForward: ([rows, , , x, , bias], activations) =>
    1 + (bias !== null && (rows as Rows).set !== 'all' ? 1 : 0) + rounding(x, activations),
  // The product; sums of the bias's gradient in two stages.
  linearBackwardWeight: ([, , , , , x, , , dBias], activations) =>
    1 + (dBias === null ? 0 : 2) + rounding(x, activations),
  layerNormBackward: () => 2,
  tokenEmbeddingBackward: () => 6, // rows, sums of gamma and beta, two tables of two kernels each
  objectEmbeddingBackward: () => 3,
  gatherRowsBackward: () => 2,
  softmaxCrossEntropyForward: () => 2,
  sigmoidCrossEntropyForward: () => 2,
  smoothL1Forward: () => 2,
  gradNorm: () => 2,
  // Parameters, and the copy of them that products read.
  fill: ([, x], activations) => ((x as Tensor).arena === 'parameters' && activations === 'bf16' ? 2 : 1),
};

/** Kernels and products that one call of an op launches on CUDA. */
export function launchesOf(op: OpName, args: readonly OpArgument[], activations: DType): number {
  return several[op]?.(args, activations) ?? 1;
}

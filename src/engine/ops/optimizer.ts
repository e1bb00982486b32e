import type { Engine } from '../engine.js';
import { elements, type Tensor } from '../tensor.js';

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest global norm of the gradient; 0: no clipping. */
  readonly maxGradNorm: number;
}

export interface NormTensors {
  /** [n, 2] i32: begin and length, in elements of the gradients. */
  readonly chunks: Tensor;
  readonly gradients: Tensor;
  /** [n]: the sum of squares of each chunk. */
  readonly partial: Tensor;
  /** Sums of the losses, f32 words of any shape. Each must be finite. */
  readonly sums: Tensor;
  /** [2]: the gradient's norm; then 1 if the norm or one of the sums is not finite, else 0. */
  readonly norm: Tensor;
}

export interface UpdateTensors extends Pick<NormTensors, 'chunks' | 'norm'> {
  /** These four tensors have the same length, and a chunk means the same elements in each of them. */
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment: Tensor;
}

/** norm[0] = ‖gradients of all chunks‖; norm[1] says whether it and the sums of the losses are finite. */
export function gradNorm(engine: Engine, t: NormTensors): void {
  engine.run('gradNorm', [t.chunks.shape[0], t.chunks, t.gradients, elements(t.sums.shape), t.sums, t.partial, t.norm]);
}

/**
 * One step of BertAdam on all chunks (Adam without bias correction, decoupled weight decay: the original's optimizer).
 * The learning rate comes from the step record. The op changes nothing if `gradNorm` found a norm or a sum that is not
 * finite.
 */
export function adamUpdate(engine: Engine, t: UpdateTensors, record: Tensor, options: AdamOptions): void {
  engine.run('adamUpdate', [
    t.chunks.shape[0],
    options.beta1,
    options.beta2,
    options.epsilon,
    options.weightDecay,
    options.maxGradNorm,
    record,
    t.chunks,
    t.parameters,
    t.gradients,
    t.firstMoment,
    t.secondMoment,
    t.norm,
  ]);
}

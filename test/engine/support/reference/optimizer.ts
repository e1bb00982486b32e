/** BertAdam (no bias correction, decoupled weight decay, global clip) and the gradient norm, in float64. */
import { min, sqrt } from '../fastMath.js';

type Vector = ArrayLike<number>;

/** [begin, length] pairs of elements. */
export type Chunks = readonly (readonly [number, number])[];

export function gradNorm(chunks: Chunks, gradients: Vector): number {
  let sum = 0;
  for (const [begin, length] of chunks) for (let i = begin; i < begin + length; i++) sum += gradients[i] ** 2;
  return sqrt(sum);
}

export interface AdamKeys {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 0: no clipping. */
  readonly maxNorm: number;
  readonly learningRate: number;
  readonly norm: number;
}

export interface AdamState {
  readonly parameters: Float64Array;
  readonly firstMoment: Float64Array;
  readonly secondMoment: Float64Array;
}

export function adamUpdate(chunks: Chunks, keys: AdamKeys, gradients: Vector, before: AdamState): AdamState {
  const [w, m, v] = [before.parameters, before.firstMoment, before.secondMoment].map((x) => x.slice());
  const clip = keys.maxNorm > 0 ? min(1, keys.maxNorm / (keys.norm + 1e-6)) : 1;
  for (const [begin, length] of chunks)
    for (let i = begin; i < begin + length; i++) {
      const g = gradients[i] * clip;
      m[i] = keys.beta1 * m[i] + (1 - keys.beta1) * g;
      v[i] = keys.beta2 * v[i] + (1 - keys.beta2) * g * g;
      w[i] -= keys.learningRate * (m[i] / (sqrt(v[i]) + keys.epsilon) + keys.weightDecay * w[i]);
    }
  return { parameters: w, firstMoment: m, secondMoment: v };
}

/** Layer norm of rows, out = (z - μ)/σ · γ + β with σ² = Var z + ε, and its gradients, in float64. */
import { abs, sqrt } from '../fastMath.js';

type Vector = ArrayLike<number>;

export interface NormShape {
  readonly active: readonly number[];
  readonly capacity: number;
  readonly width: number;
  readonly epsilon: number;
}

export interface Moments {
  readonly mean: number;
  /** 1/σ */
  readonly inverse: number;
}

export function momentsOf(z: Vector, first: number, width: number, epsilon: number): Moments {
  let mean = 0;
  for (let c = 0; c < width; c++) mean += z[first + c] / width;
  let variance = 0;
  for (let c = 0; c < width; c++) variance += (z[first + c] - mean) ** 2 / width;
  return { mean, inverse: 1 / sqrt(variance + epsilon) };
}

/** `stats` [rows, 2]: mean and 1/σ. */
export function layerNormForward(
  s: NormShape,
  z: Vector,
  gamma: Vector,
  beta: Vector,
): { out: Float64Array; stats: Float64Array } {
  const out = new Float64Array(s.capacity * s.width);
  const stats = new Float64Array(s.capacity * 2);
  for (const row of s.active) {
    const first = row * s.width;
    const { mean, inverse } = momentsOf(z, first, s.width, s.epsilon);
    stats.set([mean, inverse], 2 * row);
    for (let c = 0; c < s.width; c++) out[first + c] = (z[first + c] - mean) * inverse * gamma[c] + beta[c];
  }
  return { out, stats };
}

export interface NormGradients {
  readonly dz: Float64Array;
  readonly dGamma: Float64Array;
  readonly dBeta: Float64Array;
  /** Sizes of the terms of dz before they cancel, element by element. */
  readonly terms: Float64Array;
}

/** With x̂ = (z - μ)/σ and g = dOut γ: dz = (g - mean g - x̂ mean(g x̂))/σ, dγ = Σ dOut x̂, dβ = Σ dOut. */
export function layerNormBackward(s: NormShape, z: Vector, gamma: Vector, dOut: Vector): NormGradients {
  const dz = new Float64Array(s.capacity * s.width);
  const terms = new Float64Array(s.capacity * s.width);
  const dGamma = new Float64Array(s.width);
  const dBeta = new Float64Array(s.width);
  for (const row of s.active) {
    const first = row * s.width;
    const { mean, inverse } = momentsOf(z, first, s.width, s.epsilon);
    const normed = (c: number): number => (z[first + c] - mean) * inverse;
    let meanG = 0;
    let meanDot = 0;
    for (let c = 0; c < s.width; c++) {
      const g = dOut[first + c] * gamma[c];
      meanG += g / s.width;
      meanDot += (g * normed(c)) / s.width;
      dGamma[c] += dOut[first + c] * normed(c);
      dBeta[c] += dOut[first + c];
    }
    for (let c = 0; c < s.width; c++) {
      const g = dOut[first + c] * gamma[c];
      dz[first + c] = inverse * (g - meanG - normed(c) * meanDot);
      terms[first + c] = inverse * (abs(g) + abs(meanG) + abs(normed(c) * meanDot));
    }
  }
  return { dz, dGamma, dBeta, terms };
}

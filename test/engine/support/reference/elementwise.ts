/** GELU by the error function, and tanh, in float64. */
import { abs, exp, sign, sqrt } from '../fastMath.js';

/**
 * The error function, to about 1e-15: erf x = 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms all have one sign.
 */
export function erf(x: number): number {
  if (abs(x) > 6) return sign(x); // 1 - erf 6 < 3e-17
  let term = x;
  let sum = x;
  for (let n = 1; abs(term) > 1e-18 * abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / sqrt(Math.PI)) * exp(-x * x) * sum;
}

export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

export function geluDerivative(x: number): number {
  const density = exp(-0.5 * x * x) / sqrt(2 * Math.PI);
  return 0.5 * (1 + erf(x / Math.SQRT2)) + x * density;
}

/** From y = tanh x. */
export function tanhDerivative(y: number): number {
  return 1 - y * y;
}

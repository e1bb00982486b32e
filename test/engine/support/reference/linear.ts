/** y = x Wᵀ + b and its gradients, in float64, over the rows given. */
type Vector = ArrayLike<number>;

export interface LinearShape {
  readonly active: readonly number[];
  readonly capacity: number;
  readonly in: number;
  readonly out: number;
}

export function linearForward(s: LinearShape, x: Vector, weight: Vector, bias: Vector | null): Float64Array {
  const y = new Float64Array(s.capacity * s.out);
  for (const row of s.active)
    for (let o = 0; o < s.out; o++) {
      let sum = bias ? bias[o] : 0;
      for (let i = 0; i < s.in; i++) sum += x[row * s.in + i] * weight[o * s.in + i];
      y[row * s.out + o] = sum;
    }
  return y;
}

/** dx = dy W. */
export function linearBackwardInput(s: LinearShape, dy: Vector, weight: Vector): Float64Array {
  const dx = new Float64Array(s.capacity * s.in);
  for (const row of s.active)
    for (let i = 0; i < s.in; i++) {
      let sum = 0;
      for (let o = 0; o < s.out; o++) sum += dy[row * s.out + o] * weight[o * s.in + i];
      dx[row * s.in + i] = sum;
    }
  return dx;
}

/** dW = dyᵀ x, db = Σ dy. */
export function linearBackwardWeight(
  s: LinearShape,
  x: Vector,
  dy: Vector,
): { dWeight: Float64Array; dBias: Float64Array } {
  const dWeight = new Float64Array(s.out * s.in);
  const dBias = new Float64Array(s.out);
  for (let o = 0; o < s.out; o++) {
    for (const row of s.active) dBias[o] += dy[row * s.out + o];
    for (let i = 0; i < s.in; i++) {
      let sum = 0;
      for (const row of s.active) sum += dy[row * s.out + o] * x[row * s.in + i];
      dWeight[o * s.in + i] = sum;
    }
  }
  return { dWeight, dBias };
}

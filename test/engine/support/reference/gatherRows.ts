/** to[i] = from[indices[i]] and its adjoint, in float64. Indices outside give zeros, and add nothing in the adjoint. */
type Vector = ArrayLike<number>;

export interface GatherShape {
  readonly active: readonly number[];
  readonly capacity: number;
  readonly width: number;
  readonly fromRows: number;
}

function forEach(s: GatherShape, indices: Vector, visit: (to: number, from: number) => void): void {
  for (const row of s.active)
    if (indices[row] >= 0 && indices[row] < s.fromRows)
      for (let c = 0; c < s.width; c++) visit(row * s.width + c, indices[row] * s.width + c);
}

export function gatherRowsForward(s: GatherShape, indices: Vector, from: Vector): Float64Array {
  const gathered = new Float64Array(s.capacity * s.width);
  forEach(s, indices, (to, at) => (gathered[to] = from[at]));
  return gathered;
}

export function gatherRowsBackward(s: GatherShape, indices: Vector, dTo: Vector): Float64Array {
  const dFrom = new Float64Array(s.fromRows * s.width);
  forEach(s, indices, (to, at) => (dFrom[at] += dTo[to]));
  return dFrom;
}

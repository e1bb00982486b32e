/** A local copy of `Math`. In jest each access to a global is a call, which makes loops ten times slower. */
export const { abs, cos, exp, floor, fround, imul, log, log1p, max, min, sign, sin, sqrt } = Math;
export const { isFinite, isNaN } = Number;

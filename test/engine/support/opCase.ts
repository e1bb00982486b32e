/** One run of one op: its arguments, and the expected memory after the run. This file uses neither an engine nor a back end. */
import type { DType, RowSet } from '../../../src/engine/index.js';
import { roundToBf16 } from './bf16.js';
import { roundToHalf } from './half.js';
import { sqrt } from './fastMath.js';

/**
 * How an op may change a tensor. `input`: the op must not change it. `output`: the op writes every element (all are NaN
 * before). `update`: the op adds to the values, or changes them in place. `scratch`: the tensor may have any values
 * after the op.
 */
export type Role = 'input' | 'output' | 'update' | 'scratch';

export interface CaseTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly role: Role;
  /** The values before the run, rounded to the type. For an output or scratch only the number of values is used. */
  readonly values: Float32Array | Int32Array;
}

export interface CaseRows {
  readonly set: RowSet;
  readonly capacity: number;
  readonly split: number;
  readonly record: CaseTensor | null;
  /** The active rows, in ascending order. */
  readonly active: readonly number[];
}

export interface CaseDropout {
  readonly p: number;
  readonly instance: number;
  readonly rowIds: CaseTensor | null;
}

/** The arguments, in the order of the op's struct in native/engine/ops.h. */
export type CaseArgument = number | boolean | null | CaseTensor | CaseRows | CaseDropout;

export interface Expectation {
  /** Float64 values of the whole tensor. */
  readonly values: ArrayLike<number>;
  /** Whether the bits must be equal, without a tolerance. */
  readonly exact?: boolean;
  /**
   * Each value is a sum of terms. If the terms cancel by construction (the gradient of a layer norm of one column is
   * 0), this is the norm of the terms. The error is relative to this norm if it is larger than the norm of the values.
   */
  readonly scale?: number;
  /** For a tensor of rows: whether the inactive rows must have exactly the expected bits. */
  readonly rows?: CaseRows;
  /** For a tensor of rows: whether the inactive rows may have any finite numbers. */
  readonly anyInactive?: boolean;
  /** Elements that must have exactly the expected bits. */
  readonly untouched?: readonly number[];
  /** Ranges of columns [begin, end) that are compared separately. */
  readonly blocks?: readonly { readonly begin: number; readonly end: number; readonly scale?: number }[];
}

export interface OpCase {
  readonly args: readonly CaseArgument[];
  /** The expectation for every `output` and `update`. */
  readonly expected: ReadonlyMap<CaseTensor, Expectation>;
}

export const isTensor = (arg: CaseArgument): arg is CaseTensor =>
  typeof arg === 'object' && arg !== null && 'role' in arg;
export const isRows = (arg: CaseArgument): arg is CaseRows => typeof arg === 'object' && arg !== null && 'set' in arg;

/** Every tensor of a call, once. */
export function tensorsOf(args: readonly CaseArgument[]): CaseTensor[] {
  const found = args.flatMap((arg) => {
    if (isTensor(arg)) return [arg];
    if (typeof arg !== 'object' || arg === null) return [];
    const inner = 'set' in arg ? arg.record : arg.rowIds;
    return inner ? [inner] : [];
  });
  return [...new Set(found)];
}

type Values = Float32Array | Int32Array;
type Shape = readonly number[];

/** The type in which a back end stores activations. */
export type FloatType = 'f32' | 'bf16';

function holding(dtype: FloatType, values: Values): Pick<CaseTensor, 'dtype' | 'values'> {
  if (values instanceof Int32Array) return { dtype: 'i32', values };
  return { dtype, values: dtype === 'bf16' ? values.map(roundToBf16) : values };
}

export function input(name: string, shape: Shape, values: Values, dtype: FloatType = 'f32'): CaseTensor {
  return { name, shape, role: 'input', ...holding(dtype, values) };
}

export function halfInput(name: string, shape: Shape, values: Float32Array): CaseTensor {
  return { name, shape, role: 'input', dtype: 'f16', values: values.map(roundToHalf) };
}

export function update(name: string, shape: Shape, values: Values, dtype: FloatType = 'f32'): CaseTensor {
  return { name, shape, role: 'update', ...holding(dtype, values) };
}

const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

export function output(name: string, shape: Shape, dtype: FloatType = 'f32'): CaseTensor {
  return { name, shape, values: new Float32Array(sizeOf(shape)), role: 'output', dtype };
}

export function intOutput(name: string, shape: Shape): CaseTensor {
  return { name, shape, values: new Int32Array(sizeOf(shape)), role: 'output', dtype: 'i32' };
}

export function scratch(name: string, shape: Shape): CaseTensor {
  return { name, shape, values: new Float32Array(sizeOf(shape)), role: 'scratch', dtype: 'f32' };
}

/** A target of a gradient. The gradient is written to it, or added to `before`. */
export function target(name: string, shape: Shape, before: Values | null, dtype: FloatType = 'f32'): CaseTensor {
  return before ? update(name, shape, before, dtype) : output(name, shape, dtype);
}

/** The expected values of a target. */
export function added(to: CaseTensor, gradient: ArrayLike<number>): Float64Array {
  return Float64Array.from(gradient, (g, i) => g + (to.role === 'update' ? to.values[i] : 0));
}

/** √Σ x². */
export function normOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sqrt(sum);
}

/** What one run of one op is: its arguments, and what must be in memory afterwards. Knows no engine and no back end. */
import type { DType, RowSet } from '../../../src/engine/index.js';
import { roundToBf16 } from './bf16.js';
import { roundToHalf } from './half.js';
import { sqrt } from './fastMath.js';

/**
 * What an op may do to a tensor. `input`: nothing. `output`: write every element (it is poisoned before). `update`: add
 * to what is there, or change it in place. `scratch`: leave anything.
 */
export type Role = 'input' | 'output' | 'update' | 'scratch';

export interface CaseTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly role: Role;
  /** Before the run, of bf16 and f16 those that they can hold; of an output or scratch: how much memory it takes. */
  readonly values: Float32Array | Int32Array;
}

export interface CaseRows {
  readonly set: RowSet;
  readonly capacity: number;
  readonly split: number;
  readonly record: CaseTensor | null;
  /** The active rows, ascending. */
  readonly active: readonly number[];
}

export interface CaseDropout {
  readonly p: number;
  readonly instance: number;
  readonly rowIds: CaseTensor | null;
}

/** In the order of the op's struct in native/engine/ops.h. */
export type CaseArgument = number | boolean | null | CaseTensor | CaseRows | CaseDropout;

export interface Expectation {
  /** Float64 values of the whole tensor. */
  readonly values: ArrayLike<number>;
  /** To the bit, not within a tolerance. */
  readonly exact?: boolean;
  /**
   * Norm of the terms that the values are sums of, where they cancel by construction (the gradient through a layer norm
   * of one column is 0): the error is measured against it when it is larger than the norm of the values.
   */
  readonly scale?: number;
  /** Of a tensor of rows: what lies outside the active ones must be as expected to the bit, or ... */
  readonly rows?: CaseRows;
  /** ... may be any finite number. */
  readonly anyInactive?: boolean;
  /** Elements that must be as expected to the bit. */
  readonly untouched?: readonly number[];
  /** Columns [begin, end) to be compared as tensors of their own. */
  readonly blocks?: readonly { readonly begin: number; readonly end: number; readonly scale?: number }[];
}

export interface OpCase {
  readonly args: readonly CaseArgument[];
  /** For every `output` and `update`. */
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

/** What a back end keeps its activations in. */
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

/** A target of a gradient: written over, or added to `before`. */
export function target(name: string, shape: Shape, before: Values | null, dtype: FloatType = 'f32'): CaseTensor {
  return before ? update(name, shape, before, dtype) : output(name, shape, dtype);
}

/** What is in a target afterwards. */
export function added(to: CaseTensor, gradient: ArrayLike<number>): Float64Array {
  return Float64Array.from(gradient, (g, i) => g + (to.role === 'update' ? to.values[i] : 0));
}

/** √Σ x². */
export function normOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sqrt(sum);
}

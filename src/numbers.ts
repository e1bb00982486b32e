import { LxmertError } from './errors.js';

/** Checks of numbers that callers give. Each throws BAD_ARGUMENT, naming the value, what is expected and what was given. */

/** The largest number of 32 bits: seeds and step numbers are unsigned 32-bit words on the device. */
export const maxUint32 = 0xffff_ffff;

/** A whole number from 1. */
export function demandCount(name: string, value: unknown): asserts value is number {
  demand(Number.isSafeInteger(value) && (value as number) >= 1, name, 'a whole number from 1', value);
}

/** A whole number from 0 to 2³² - 1. */
export function demandUint32(name: string, value: unknown): asserts value is number {
  const fits = Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= maxUint32;
  demand(fits, name, `a whole number from 0 to ${maxUint32}`, value);
}

/** A number from 0 on that is finite in float32. */
export function demandNotNegative(name: string, value: unknown): asserts value is number {
  demand(isFloat32(value) && (value as number) >= 0, name, 'a finite number from 0', value);
}

/** A number above 0 that is finite and above 0 in float32. */
export function demandPositive(name: string, value: unknown): asserts value is number {
  demand(isFloat32(value) && Math.fround(value as number) > 0, name, 'a finite number above 0 in float32', value);
}

/** A number from 0 on that is below 1 in float32. */
export function demandShare(name: string, value: unknown): asserts value is number {
  const fits = isFloat32(value) && (value as number) >= 0 && Math.fround(value as number) < 1;
  demand(fits, name, 'a number from 0 and below 1 in float32', value);
}

/** Values of a tensor, all finite. */
export function demandFinite(name: string, values: Float32Array): void {
  // 0 × value is 0 for every finite number, otherwise NaN. One sum of all products is faster than a test of each value.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  if (sum === 0) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  demand(false, `${name}[${at}]`, 'a finite number', values[at]);
}

const isFloat32 = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(Math.fround(value));

function demand(fits: boolean, name: string, expected: string, value: unknown): void {
  if (fits) return;
  const given = typeof value === 'string' ? JSON.stringify(value) : String(value);
  throw new LxmertError('BAD_ARGUMENT', `${name} must be ${expected}, not ${given}`);
}

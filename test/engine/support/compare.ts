/** Holds what an op wrote against what was expected of it. */
import { abs, fround, isFinite, isNaN, max, sqrt } from './fastMath.js';
import type { DType } from '../../../src/engine/index.js';
import { roundToBf16 } from './bf16.js';
import type { CaseTensor, Expectation } from './opCase.js';

type Values = Float32Array | Int32Array;

/** What is wrong with `actual`; nothing when ‖actual - expected‖ ≤ tolerance · ‖expected‖ and exact parts are exact. */
export function compare(tensor: CaseTensor, actual: Values, expected: Expectation, tolerance: number): string[] {
  const { values, exact = false, scale = 0 } = expected;
  const where = `${tensor.name} [${tensor.shape.join(', ')}]`;
  if (values.length !== actual.length) return [`${where}: the table expects ${values.length} values`];
  const rigid = rigidElements(expected);
  for (let i = 0; i < actual.length; i++)
    if ((exact || rigid[i] === 1 || !isFinite(values[i])) && !same(actual[i], values[i], tensor.dtype))
      return [`${where}: element ${i} is ${actual[i]}, expected exactly ${values[i]}`];
  if (exact) return [];

  const columns = tensor.shape.at(-1) ?? 1;
  const { blocks = [{ begin: 0, end: columns, scale }] } = expected;
  return blocks.flatMap((block) => {
    const { norm, distance, worst } = measure(actual, values, columns, block);
    const size = max(norm, block.scale ?? 0);
    // Written so that NaN fails.
    if (distance <= tolerance * size) return [];
    const named = blocks.length > 1 ? ` columns ${block.begin} to ${block.end - 1}` : '';
    return [
      `${where}${named}: off by ${(distance / size).toExponential(2)} of ${size.toPrecision(4)}; ` +
        `element ${worst} is ${actual[worst]}, expected ${values[worst]}`,
    ];
  });
}

/** 1 where an element must be as expected to the bit. */
function rigidElements({ values, rows, untouched = [] }: Expectation): Uint8Array {
  const rigid = new Uint8Array(values.length);
  if (rows && rows.capacity > 0) {
    const width = values.length / rows.capacity;
    rigid.fill(1);
    for (const row of rows.active) rigid.fill(0, row * width, (row + 1) * width);
  }
  for (const i of untouched) rigid[i] = 1;
  return rigid;
}

/** ‖expected‖ and ‖actual - expected‖ of some columns, and the element that differs most. Infinities and NaNs are aside. */
function measure(
  actual: Values,
  expected: ArrayLike<number>,
  columns: number,
  { begin, end }: { readonly begin: number; readonly end: number },
): { norm: number; distance: number; worst: number } {
  let [norm, distance, worst, largest] = [0, 0, begin, -1];
  for (let first = 0; first < actual.length; first += columns)
    for (let i = first + begin; i < first + end; i++) {
      if (!isFinite(expected[i])) continue;
      const difference = abs(actual[i] - expected[i]);
      norm += expected[i] * expected[i];
      distance += difference * difference;
      if (difference > largest || isNaN(difference)) [worst, largest] = [i, difference];
    }
  return { norm: sqrt(norm), distance: sqrt(distance), worst };
}

/** To the bit of what the tensor holds; 0 and -0 are the same. */
const same = (actual: number, expected: number, dtype: DType): boolean =>
  actual === (dtype === 'bf16' ? roundToBf16(expected) : fround(expected)) || (isNaN(actual) && isNaN(expected));

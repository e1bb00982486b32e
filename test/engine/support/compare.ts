/** Compares the values that an op wrote with the expected values. */
import { abs, fround, isFinite, isNaN, max, sqrt } from './fastMath.js';
import type { DType } from '../../../src/engine/index.js';
import { roundToBf16 } from './bf16.js';
import type { CaseTensor, Expectation } from './opCase.js';

type Values = Float32Array | Int32Array;

/** Describes the fault of `actual`; empty if ‖actual - expected‖ ≤ tolerance · ‖expected‖ and exact parts are equal. */
export function compare(tensor: CaseTensor, actual: Values, expected: Expectation, tolerance: number): string[] {
  const { values, exact = false, scale = 0 } = expected;
  const where = `${tensor.name} [${tensor.shape.join(', ')}]`;
  if (values.length !== actual.length) return [`${where}: the table expects ${values.length} values`];
  const rigid = rigidElements(expected);
  for (let i = 0; i < actual.length; i++)
    if ((exact || rigid[i] === 1 || !isFinite(values[i])) && !same(actual[i], values[i], tensor.dtype))
      return [`${where}: element ${i} is ${actual[i]}, expected exactly ${values[i]}`];
  if (exact) return [];
  const ignored = inactiveElements(expected);
  const broken = ignored.findIndex((is, i) => is === 1 && !isFinite(actual[i]));
  if (broken >= 0)
    return [`${where}: element ${broken} of an inactive row is ${actual[broken]}, expected any finite number`];
  const compared = actual.map((value, i) => (ignored[i] === 1 ? values[i] : value));

  const columns = tensor.shape.at(-1) ?? 1;
  const { blocks = [{ begin: 0, end: columns, scale }] } = expected;
  return blocks.flatMap((block) => {
    const { norm, distance, worst } = measure(compared, values, columns, block);
    const size = max(norm, block.scale ?? 0);
    // This form of the comparison fails for NaN.
    if (distance <= tolerance * size) return [];
    const named = blocks.length > 1 ? ` columns ${block.begin} to ${block.end - 1}` : '';
    return [
      `${where}${named}: off by ${(distance / size).toExponential(2)} of ${size.toPrecision(4)}; ` +
        `element ${worst} is ${actual[worst]}, expected ${values[worst]}`,
    ];
  });
}

/** 1 if an element must have exactly the expected bits. */
function rigidElements(expected: Expectation): Uint8Array {
  const { values, anyInactive = false, untouched = [] } = expected;
  const rigid = anyInactive ? new Uint8Array(values.length) : inactiveElements({ ...expected, anyInactive: true });
  for (const i of untouched) rigid[i] = 1;
  return rigid;
}

/** 1 in inactive rows, if these may have any numbers. */
function inactiveElements({ values, rows, anyInactive = false }: Expectation): Uint8Array {
  const inactive = new Uint8Array(values.length);
  if (!anyInactive || !rows || rows.capacity === 0) return inactive;
  const width = values.length / rows.capacity;
  inactive.fill(1);
  for (const row of rows.active) inactive.fill(0, row * width, (row + 1) * width);
  return inactive;
}

/** ‖expected‖ and ‖actual - expected‖ of some columns, and the element that differs most. Infinities and NaNs are left out. */
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

/** Whether two numbers have the same bits in the type of the tensor; 0 and -0 are equal. */
const same = (actual: number, expected: number, dtype: DType): boolean =>
  actual === (dtype === 'bf16' ? roundToBf16(expected) : fround(expected)) || (isNaN(actual) && isNaN(expected));

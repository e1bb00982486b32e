import { floatToHalf, halfToFloat } from '../../../src/formats/dtypes.js';

/** The nearest number that float16 can hold. */
export const roundToHalf = (value: number): number => halfToFloat(floatToHalf(value));

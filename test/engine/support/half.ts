import { floatToHalf, halfToFloat } from '../../../src/formats/dtypes.js';

/** The nearest number that float16 can represent. */
export const roundToHalf = (value: number): number => halfToFloat(floatToHalf(value));

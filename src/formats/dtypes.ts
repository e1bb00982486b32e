/** The supported element types of safetensors files, and the array type of each. */
export const dtypes = {
  F64: { bytes: 8, array: Float64Array },
  I64: { bytes: 8, array: BigInt64Array },
  U64: { bytes: 8, array: BigUint64Array },
  F32: { bytes: 4, array: Float32Array },
  I32: { bytes: 4, array: Int32Array },
  U32: { bytes: 4, array: Uint32Array },
  /** Bits of IEEE half floats. */
  F16: { bytes: 2, array: Uint16Array },
  /** Bits of bfloat16, the upper half of a float32. */
  BF16: { bytes: 2, array: Uint16Array },
  I16: { bytes: 2, array: Int16Array },
  U16: { bytes: 2, array: Uint16Array },
  I8: { bytes: 1, array: Int8Array },
  U8: { bytes: 1, array: Uint8Array },
  BOOL: { bytes: 1, array: Uint8Array },
} as const;

export type Dtype = keyof typeof dtypes;

export type TensorValues =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

export const isDtype = (name: unknown): name is Dtype => typeof name === 'string' && Object.hasOwn(dtypes, name);

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The exact value of the IEEE half float with these 16 bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Bits of the IEEE half float nearest to a value (ties to even; values that round beyond 65504 become infinity). */
export function floatToHalf(value: number): number {
  float[0] = value;
  const bits = word[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below the smallest normal half, all halves are multiples of 2^-24. The product is exact, so it is rounded once.
    return sign | roundToEven(Math.abs(float[0]) * 2 ** 24);
  }
  const half = (magnitude - 0x38000000) >>> 13;
  const rest = magnitude & 0x1fff;
  // A carry out of the fraction increments the exponent, which gives the right result, up to infinity.
  return sign | (half + (rest > 0x1000 || (rest === 0x1000 && (half & 1) === 1) ? 1 : 0));
}

/**
 * Writes the bits of the nearest half floats.
 * @returns the index of the first value that is beyond ±65504 after rounding, or -1
 */
export function floatsToHalves(values: Float32Array, halves: Uint16Array): number {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  let beyond = -1;
  for (let i = 0; i < words.length; i++) {
    const magnitude = words[i] & 0x7fffffff;
    // Adds half a unit minus one, and one more if the last remaining bit is odd, so that ties go to even.
    const half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    // Values below the smallest normal half are masked without a branch, because zeros are frequent in features.
    const normal = (0x387fffff - magnitude) >> 31;
    halves[i] = ((words[i] >>> 16) & 0x8000) | (half & normal);
    // Values that become subnormal halves are rare, so the slow function converts them.
    if ((magnitude - 0x33000001) >>> 0 < 0x057fffff) halves[i] = floatToHalf(values[i]);
    if (magnitude > 0x477fe000 && beyond < 0) beyond = i;
  }
  return beyond;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** The values of all half floats, by their bits; computed when the first tensor needs them. */
let halfValues: Float32Array | undefined;

/** Bits of the bfloat16 numbers nearest to values (ties to even; NaN stays NaN). */
export function floatsToBFloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const bits = words[i];
    const isNaN = (bits & 0x7fffffff) > 0x7f800000;
    // Rounding could change a NaN into infinity, so a NaN is truncated and made quiet.
    result[i] = isNaN ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return result;
}

/** Converts values of any real dtype to float32. Returns the same array if it is float32 already. */
export function toFloat32(dtype: Dtype, values: TensorValues): Float32Array {
  switch (dtype) {
    case 'F32':
      return values as Float32Array;
    case 'F16': {
      halfValues ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => halfToFloat(bits));
      const source = values as Uint16Array;
      const result = new Float32Array(source.length);
      for (let i = 0; i < source.length; i++) result[i] = halfValues[source[i]];
      return result;
    }
    case 'BF16': {
      const source = values as Uint16Array;
      const result = new Float32Array(source.length);
      const bits = new Uint32Array(result.buffer);
      for (let i = 0; i < source.length; i++) bits[i] = source[i] << 16;
      return result;
    }
    case 'F64':
      return new Float32Array(values as Float64Array);
    default:
      return Float32Array.from(values as ArrayLike<number | bigint>, Number);
  }
}

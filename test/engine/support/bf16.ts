/** bfloat16: the upper half of a float32. */
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The bits of the nearest bfloat16, ties to even. NaN stays NaN. */
export function bf16Bits(value: number): number {
  float[0] = value;
  if (Number.isNaN(value)) return (word[0] >>> 16) | 0x40;
  return ((word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBf16Bits(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}

/** The nearest number that bfloat16 can represent. */
export const roundToBf16 = (value: number): number => fromBf16Bits(bf16Bits(value));

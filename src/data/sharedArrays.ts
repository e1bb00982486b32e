/** Makes arrays in shared memory. A message with such an array gives another thread the same memory, without a copy. */
export const sharedArrays = {
  uint8: (length: number) => new Uint8Array(new SharedArrayBuffer(length)),
  uint16: (length: number) => new Uint16Array(new SharedArrayBuffer(2 * length)),
  int32: (length: number) => new Int32Array(new SharedArrayBuffer(4 * length)),
  uint32: (length: number) => new Uint32Array(new SharedArrayBuffer(4 * length)),
  float32: (length: number) => new Float32Array(new SharedArrayBuffer(4 * length)),
  float64: (length: number) => new Float64Array(new SharedArrayBuffer(8 * length)),
} as const;

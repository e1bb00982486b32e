import { LxmertError } from '../errors.js';

/** The six arenas of an engine, in the native order (native/engine/arenas.h). */
export const arenaNames = ['parameters', 'gradients', 'state', 'inputs', 'workspace', 'features'] as const;
export type ArenaName = (typeof arenaNames)[number];

/** `f16` is a storage format: no op computes in it. */
export type DType = 'f32' | 'i32' | 'bf16' | 'f16';

/** Bytes of one element of f32 or i32. All tensors have one of these types, except activations and features. */
export const elementBytes = 4;

/** Bytes of one element of each dtype. */
export const dtypeBytes: Readonly<Record<DType, number>> = { f32: 4, i32: 4, bf16: 2, f16: 2 };

/**
 * A place in an arena, with the type and the shape of its values. It is a small frozen object that owns no memory, so
 * the garbage collector never manages device memory. `generation` is the number of the workspace when the tensor was
 * made. After a reset of the workspace, the tensor is refused.
 */
export interface Tensor {
  readonly arena: ArenaName;
  /** Bytes from the start of the arena. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly generation: number;
  /** The tensor of which this one is a block of rows, or whose rows it joins. */
  readonly root?: Tensor;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function bytesOf(tensor: Tensor): number {
  return elements(tensor.shape) * dtypeBytes[tensor.dtype];
}

/**
 * A tensor at a fixed place of an arena of `size` bytes.
 * @throws LxmertError BAD_ARGUMENT if it does not fit into the arena
 */
export function tensorAt(place: Omit<Tensor, 'generation' | 'root'>, size: number): Tensor {
  const { arena, offset, shape, dtype } = place;
  const tensor = Object.freeze({ ...place, shape: Object.freeze([...shape]), generation: 0 });
  const what = `a tensor [${shape.join(', ')}] at byte ${offset}`;
  if (offset % dtypeBytes[dtype] !== 0 || !shape.every((n) => Number.isInteger(n) && n >= 0))
    throw new LxmertError('BAD_ARGUMENT', `${what}: expected whole sizes and a multiple of ${dtypeBytes[dtype]} bytes`);
  if (!(offset >= 0 && offset + bytesOf(tensor) <= size))
    throw new LxmertError('BAD_ARGUMENT', `${what} lies outside the ${arena} arena of ${size} bytes`);
  return tensor;
}

/** Whether two tensors share memory. */
export function overlap(a: Tensor, b: Tensor): boolean {
  return a.arena === b.arena && a.offset < b.offset + bytesOf(b) && b.offset < a.offset + bytesOf(a);
}

/** Rows `first … first + count - 1` of a tensor whose first dimension counts rows. */
export function rowBlock(tensor: Tensor, first: number, count: number): Tensor {
  const rows = tensor.shape[0];
  if (tensor.root) throw new LxmertError('INTERNAL', 'rowBlock of a block of rows');
  if (!Number.isInteger(first) || !Number.isInteger(count) || first < 0 || count < 0 || first + count > rows)
    throw new LxmertError('BAD_ARGUMENT', `rowBlock: rows ${first} to ${first + count} of a tensor of ${rows} rows`);
  const width = elements(tensor.shape.slice(1));
  return Object.freeze({
    ...tensor,
    offset: tensor.offset + first * width * dtypeBytes[tensor.dtype],
    shape: Object.freeze([count, ...tensor.shape.slice(1)]),
    root: tensor,
  });
}

/** Joins each `n` neighbouring rows of a tensor to one row, without a copy: [rows, width] → [rows / n, n × width]. */
export function joinRows(tensor: Tensor, n: number): Tensor {
  const [rows, width] = tensor.shape;
  if (tensor.root || tensor.shape.length !== 2 || rows % n !== 0)
    throw new LxmertError('INTERNAL', `joinRows: [${tensor.shape.join(', ')}] has no whole number of ${n} rows`);
  return Object.freeze({ ...tensor, shape: Object.freeze([rows / n, n * width]), root: tensor });
}

/**
 * Checks the type and the shape of an op's argument. Its first dimension may be larger than expected, because rows have
 * capacities. The dtype `float` means the type in which the device keeps activations.
 */
export function checkShape(
  op: string,
  name: string,
  tensor: Tensor,
  expected: readonly number[],
  dtype: DType | 'float' = 'float',
): void {
  const { shape } = tensor;
  const fits =
    shape.length === expected.length && shape.every((n, i) => (i === 0 ? n >= expected[0] : n === expected[i]));
  const typed = dtype === 'float' ? tensor.dtype === 'f32' || tensor.dtype === 'bf16' : tensor.dtype === dtype;
  if (!fits || !typed)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${op}: ${name} is ${tensor.dtype} [${shape.join(', ')}], expected ${dtype === 'float' ? 'f32 or bf16' : dtype} [${expected.join(', ')}]`,
    );
}

/**
 * The values of 16-bit numbers. bf16 is the upper half of a float32. f16 has 5 bits of exponent with bias 15. If these
 * bits are placed where float32 has its exponent (with bias 127), the result is 2^112 times too small.
 */
export function halvesToFloats(values: Uint16Array, dtype: DType): Float32Array {
  const half = dtype === 'f16';
  const place = (bits: number): number => (half ? ((bits & 0x8000) << 16) | ((bits & 0x7fff) << 13) : bits << 16);
  const floats = new Float32Array(Uint32Array.from(values, place).buffer);
  return half ? floats.map((value) => value * 2 ** 112) : floats;
}

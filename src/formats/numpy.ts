import { dtypes, halfToFloat } from './dtypes.js';
import type { Dtype, TensorValues } from './dtypes.js';
import { PickleFault, PickleFloat, PickleObject } from './pickle.js';
import type { PickleValue } from './pickle.js';

/** An element type of numpy: its letter (`f`, `i`, `u`, `b`, or `O` for objects), its bytes and its byte order. */
export class NumpyDtype extends PickleObject {
  readonly kind = 'numpy dtype';

  constructor(
    readonly letter: string,
    readonly bytes: number,
    readonly bigEndian = false,
  ) {
    super();
  }

  get name(): string {
    return `${this.bigEndian ? '>' : '<'}${this.letter}${this.bytes}`;
  }
}

/** An array of numpy. Its elements are numbers, in `bytes`, or objects, in `objects`. */
export class NumpyArray extends PickleObject {
  readonly kind = 'numpy array';
  dtype: NumpyDtype;
  shape: readonly number[] = [0];
  /** Whether the numbers are in Fortran order, in which the first index changes fastest. */
  fortran = false;
  bytes: Uint8Array = new Uint8Array(0);
  /** The elements of an array of objects; undefined for an array of numbers. */
  objects: readonly PickleValue[] | undefined;

  constructor(dtype: NumpyDtype) {
    super();
    this.dtype = dtype;
  }

  get count(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
}

/** The dtype of numpy with a name such as `<f4`; undefined if this module cannot read the dtype. */
export function numpyDtype(name: string): NumpyDtype | undefined {
  const found = /^([<>|=]?)([fiub])([1248])$/.exec(name);
  if (found) {
    const [, order, letter, size] = found;
    if (letter === 'f' && size === '1') return undefined;
    return new NumpyDtype(letter, Number(size), order === '>');
  }
  return name === '|O' || name === 'O' || name === 'O8' || name === '|O8' ? new NumpyDtype('O', 8) : undefined;
}

type Reader = (view: DataView, at: number, little: boolean) => number;

const readers: Readonly<Record<string, Reader>> = {
  f2: (view, at, little) => halfToFloat(view.getUint16(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
  i1: (view, at) => view.getInt8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  b1: (view, at) => view.getUint8(at),
};

/** The bytes as little-endian numbers in row-major order. They are copied only if their order is different. */
function plainBytes({ dtype, shape, fortran, bytes, count }: NumpyArray): Uint8Array {
  const size = dtype.bytes;
  const axes = shape.filter((length) => length !== 1).length;
  const transposed = fortran && axes > 1;
  if (!transposed && !dtype.bigEndian) return bytes;
  const result = new Uint8Array(bytes.length);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((a, b) => a * b, 1));
  const at = shape.map(() => 0);
  for (let to = 0; to < count; to++) {
    const from = transposed ? at.reduce((sum, place, axis) => sum + place * strides[axis], 0) : to;
    for (let byte = 0; byte < size; byte++)
      result[to * size + byte] = bytes[from * size + (dtype.bigEndian ? size - 1 - byte : byte)];
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
  return result;
}

/** The numbers of an array, as an array that `make` makes. @throws a PickleFault for an array of objects */
function convert<T extends Float32Array | Int32Array>(array: NumpyArray, make: (length: number) => T): T {
  const { letter, bytes: size } = array.dtype;
  const read = readers[`${letter}${size}`];
  if (array.objects !== undefined || read === undefined)
    throw new PickleFault('it is an array of objects, where numbers were expected');
  const bytes = plainBytes(array);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result = make(array.count);
  if (letter === 'f' && size === 4 && result instanceof Float32Array) {
    new Uint8Array(result.buffer).set(bytes);
    return result;
  }
  for (let i = 0; i < result.length; i++) result[i] = read(view, i * size, true);
  return result;
}

export const numpyFloats = (array: NumpyArray): Float32Array => convert(array, (n) => new Float32Array(n));

/** The numbers of an array as float32; for a float16 array, the bits of its numbers. @throws a PickleFault */
export function numpyFeatures(array: NumpyArray): Float32Array | Uint16Array {
  if (array.dtype.letter !== 'f' || array.dtype.bytes !== 2 || array.objects !== undefined) return numpyFloats(array);
  const bytes = plainBytes(array);
  const halves = new Uint16Array(array.count);
  new Uint8Array(halves.buffer).set(bytes);
  return halves;
}

/** The whole numbers of an array. @throws a PickleFault for an array of floats or of objects */
export function numpyIntegers(array: NumpyArray): Int32Array {
  if (array.objects === undefined && array.dtype.letter === 'f')
    throw new PickleFault(`it is an array of ${array.dtype.name}, where whole numbers were expected`);
  return convert(array, (n) => new Int32Array(n));
}

/** The number in a scalar or in an array of one element; undefined for all other values. */
export function numberOf(value: PickleValue | undefined): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof PickleFloat) return value.value;
  if (value instanceof NumpyArray && value.objects === undefined && value.count === 1) {
    const read = readers[`${value.dtype.letter}${value.dtype.bytes}`];
    const { bytes, dtype } = value;
    return read?.(new DataView(bytes.buffer, bytes.byteOffset), 0, !dtype.bigEndian);
  }
  return undefined;
}

/** The element type of a tensor, for each element type of numpy. */
const tensorTypes: Readonly<Record<string, Dtype>> = {
  ...{ f8: 'F64', f4: 'F32', f2: 'F16' },
  ...{ i8: 'I64', i4: 'I32', i2: 'I16', i1: 'I8', u1: 'U8', b1: 'BOOL' },
};

/** The numbers of an array, without a conversion. @throws a PickleFault for a type that tensors do not have */
export function numpyTensor(array: NumpyArray): { readonly dtype: Dtype; readonly values: TensorValues } {
  const { letter, bytes: size, name } = array.dtype;
  const dtype = array.objects === undefined ? tensorTypes[`${letter}${size}`] : undefined;
  if (dtype === undefined) throw new PickleFault(`it has an array of the type ${name}, which is not read here`);
  return { dtype, values: new dtypes[dtype].array(plainBytes(array).slice().buffer) };
}

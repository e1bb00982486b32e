import { LxmertError } from '../errors.js';
import { halfToFloat } from './dtypes.js';
import { PickleDict, PickleFault, PickleFloat, PickleObject, PickleTuple, readPickle } from './pickle.js';
import type { PickleHooks, PickleValue, PickleGlobal } from './pickle.js';
import { elementCount } from './safetensorsHeader.js';
import { shown } from './shown.js';

/** A type of numpy's numbers (`f`, `i`, `u`, `b`), its bytes and byte order; `O` is any object. */
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

/** An array of numpy: numbers as bytes, or objects. */
export class NumpyArray extends PickleObject {
  readonly kind = 'numpy array';
  dtype: NumpyDtype;
  shape: readonly number[] = [0];
  /** Columns first. */
  fortran = false;
  bytes: Uint8Array = new Uint8Array(0);
  /** Of an array of objects. */
  objects: readonly PickleValue[] | undefined;

  constructor(dtype: NumpyDtype) {
    super();
    this.dtype = dtype;
  }

  get count(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
}

/** A dtype of numpy by its name, such as `<f4`; undefined for one that is not read here. */
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

/** The bytes as little-endian numbers in row-major order, as one copy where they are not so already. */
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

/** Numbers of an array, as an array of the given type. @throws a PickleFault for an array of objects */
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

/** Float32, or the bits of float16 where the array is float16. @throws a PickleFault */
export function numpyFeatures(array: NumpyArray): Float32Array | Uint16Array {
  if (array.dtype.letter !== 'f' || array.dtype.bytes !== 2 || array.objects !== undefined) return numpyFloats(array);
  const bytes = plainBytes(array);
  const halves = new Uint16Array(array.count);
  new Uint8Array(halves.buffer).set(bytes);
  return halves;
}

/** Whole numbers. @throws a PickleFault for an array of others or of objects */
export function numpyIntegers(array: NumpyArray): Int32Array {
  if (array.objects === undefined && array.dtype.letter === 'f')
    throw new PickleFault(`it is an array of ${array.dtype.name}, where whole numbers were expected`);
  return convert(array, (n) => new Int32Array(n));
}

/** The number of a scalar or of an array of one element; undefined for anything else. */
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

/** Modules under which numpy 1 and numpy 2 keep what pickles name. */
const modules = new Set([
  'numpy.core.multiarray',
  'numpy._core.multiarray',
  'numpy.core.numeric',
  'numpy._core.numeric',
]);

const allowed = new Set([
  ...[...modules].flatMap((module) => ['_reconstruct', 'scalar', '_frombuffer'].map((name) => `${module}.${name}`)),
  ...['numpy.ndarray', 'numpy.dtype', 'collections.OrderedDict', '_codecs.encode'],
]);

/** Hooks for pickles of plain values, dicts and numpy's arrays. Nothing else may be named. */
export const numpyHooks: PickleHooks = {
  allows: (module, name) => allowed.has(`${module}.${name}`),
  call,
  build,
  persistent: () => {
    throw new PickleFault('it has a persistent id, which features do not have');
  },
  refusal: 'a file of features may name. It was not loaded and no code was run',
};

/** Reads a pickle of plain values and arrays. @throws a PickleFault */
export const readNumpyPickle = (bytes: Uint8Array): PickleValue => readPickle(bytes, numpyHooks).value;

function call({ name }: PickleGlobal, args: readonly PickleValue[]): PickleValue {
  switch (name) {
    case '_reconstruct':
      return new NumpyArray(new NumpyDtype('b', 1));
    case 'dtype':
      return dtypeOf(args[0]);
    case 'scalar':
      return scalar(args);
    case '_frombuffer':
      return fromBuffer(args);
    case 'OrderedDict':
      return orderedDict(args);
    case 'encode': {
      const [text, encoding] = args;
      if (typeof text !== 'string' || encoding !== 'latin1')
        throw new PickleFault('bytes are not given as latin1 text');
      return Uint8Array.from(Buffer.from(text, 'latin1'));
    }
    default:
      throw new PickleFault(`it calls ${name}, which is no function`);
  }
}

function dtypeOf(name: PickleValue | undefined): NumpyDtype {
  const dtype = typeof name === 'string' ? numpyDtype(name) : undefined;
  if (!dtype) throw new PickleFault(`it has the numpy type ${typeof name === 'string' ? shown(name) : 'of no name'}`);
  return dtype;
}

function orderedDict([pairs]: readonly PickleValue[]): PickleDict {
  const dict = new PickleDict();
  for (const pair of Array.isArray(pairs) ? pairs : []) {
    const items: readonly PickleValue[] = pair instanceof PickleTuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length !== 2) throw new PickleFault('an OrderedDict is not made of pairs');
    dict.pairs.push([items[0], items[1]]);
  }
  return dict;
}

/** (dtype, bytes) */
function scalar([dtype, bytes]: readonly PickleValue[]): PickleValue {
  if (!(dtype instanceof NumpyDtype) || !(bytes instanceof Uint8Array) || bytes.length !== dtype.bytes)
    throw new PickleFault('a numpy scalar is not made of a type and its bytes');
  const array = new NumpyArray(dtype);
  array.shape = [];
  array.bytes = bytes;
  const value = numberOf(array);
  if (value === undefined) throw new PickleFault('a numpy scalar is no number');
  return dtype.letter === 'f' ? new PickleFloat(value) : value;
}

/** (buffer, dtype, shape, order) */
function fromBuffer([bytes, dtype, shape, order]: readonly PickleValue[]): NumpyArray {
  if (!(dtype instanceof NumpyDtype) || !(bytes instanceof Uint8Array))
    throw new PickleFault('a numpy array is not made of a type and its bytes');
  const array = new NumpyArray(dtype);
  setBytes(array, shapeOf(shape), bytes, order === 'F');
  return array;
}

/** The state of an array: (version, shape, dtype, fortran, bytes); of a dtype: (version, byte order, …). */
function build(object: PickleObject, state: PickleValue): PickleValue {
  const items = state instanceof PickleTuple ? state.items : [];
  if (object instanceof NumpyDtype) {
    const order = items[1];
    if (order !== '<' && order !== '>' && order !== '|' && order !== '=')
      throw new PickleFault('a numpy type has no byte order');
    return new NumpyDtype(object.letter, object.bytes, order === '>');
  }
  if (!(object instanceof NumpyArray)) throw new PickleFault(`it sets the state of a ${object.kind}`);
  const [, shape, dtype, fortran, data] = items;
  if (items.length !== 5 || !(dtype instanceof NumpyDtype)) throw new PickleFault('a numpy array has no type');
  object.dtype = dtype;
  if (data instanceof Uint8Array) setBytes(object, shapeOf(shape), data, fortran === true);
  else if (Array.isArray(data) && dtype.letter === 'O') {
    object.shape = shapeOf(shape);
    if (data.length !== object.count)
      throw new PickleFault('a numpy array of objects does not have as many as its shape');
    object.objects = data;
  } else throw new PickleFault('a numpy array has no bytes');
  return object;
}

function shapeOf(value: PickleValue | undefined): readonly number[] {
  const shape = value instanceof PickleTuple ? value.items : undefined;
  if (shape === undefined || shape.length > 32 || Number.isNaN(elementCount([...shape])))
    throw new PickleFault('a numpy array has a shape that is none');
  return shape as readonly number[];
}

function setBytes(array: NumpyArray, shape: readonly number[], bytes: Uint8Array, fortran: boolean): void {
  array.shape = shape;
  array.fortran = fortran;
  array.bytes = bytes;
  if (array.dtype.letter === 'O') throw new PickleFault('a numpy array of objects is given as bytes');
  if (array.count * array.dtype.bytes !== bytes.length)
    throw new PickleFault(
      `a numpy array of the shape [${shape.join(', ')}] and type ${array.dtype.name} has ${bytes.length} bytes`,
    );
}

/** The items of a dict by their keys, which must be text (or bytes that are). @throws a PickleFault */
export function itemsOf(value: PickleValue, what: string): ReadonlyMap<string, PickleValue> {
  if (!(value instanceof PickleDict)) throw new PickleFault(`${what} is no dict`);
  return new Map(
    value.pairs.map(([key, item]) => {
      const name = key instanceof Uint8Array ? Buffer.from(key).toString('utf8') : key;
      if (typeof name !== 'string') throw new PickleFault(`${what} has a key that is no text`);
      return [name, item];
    }),
  );
}

const npyMagic = Buffer.from([0x93, ...Buffer.from('NUMPY')]);

/**
 * Reads an npy file. The header is a Python dict of three known keys; it is matched, not evaluated. An array of objects is a
 * pickle.
 * @param place for messages: the file, and the name inside it where it is an archive
 * @throws BAD_DATA
 */
export function readNpy(file: Uint8Array, place: string): NumpyArray {
  const bad = (reason: string, cause?: unknown) => new LxmertError('BAD_DATA', `${place}: ${reason}`, { cause });
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 10 || !bytes.subarray(0, 6).equals(npyMagic))
    throw bad('is no npy file: its first bytes are others');
  const major = bytes[6];
  if (major < 1 || major > 3) throw bad(`has the npy version ${major}; 1 to 3 are read`);
  const lengthBytes = major === 1 ? 2 : 4;
  const length = bytes.readUIntLE(8, lengthBytes);
  const start = 8 + lengthBytes + length;
  if (start > bytes.length) throw bad('ends inside of its header');
  const header = bytes.toString('latin1', 8 + lengthBytes, start).trim();
  const found =
    /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d\s,]*)\),?\s*\}$/.exec(header);
  if (!found) throw bad(`has the header ${shown(header)}, which is not what numpy writes; it was not evaluated`);
  const [, descr, fortran, sizes] = found;
  const dtype = numpyDtype(descr);
  if (!dtype) throw bad(`has the numpy type ${shown(descr)}, which is not read here`);
  const shape = sizes
    .split(',')
    .map((size) => size.trim())
    .filter(Boolean)
    .map(Number);
  const count = elementCount(shape);
  const array = new NumpyArray(dtype);
  array.shape = shape;
  array.fortran = fortran === 'True';
  const data = bytes.subarray(start);
  if (dtype.letter === 'O') {
    try {
      const value = readNumpyPickle(data);
      if (!(value instanceof NumpyArray) || value.objects === undefined || value.count !== count)
        throw new PickleFault('an array of objects is none');
      return value;
    } catch (error) {
      throw error instanceof PickleFault ? bad(error.message, error) : error;
    }
  }
  if (!Number.isSafeInteger(count * dtype.bytes) || count * dtype.bytes !== data.length)
    throw bad(
      `has ${data.length} bytes of numbers, the shape (${shape.join(', ')}) of ${dtype.name} needs ` +
        `${Number.isNaN(count) ? 'more than can be counted' : count * dtype.bytes}; is it cut short?`,
    );
  array.bytes = data;
  return array;
}

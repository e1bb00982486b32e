/**
 * Pickles of plain values, dicts and numpy's arrays. The list of globals that they may use is fixed. Every other global
 * is refused with a message that has its name. No Python code is called.
 */
import { NumpyArray, NumpyDtype, numberOf, numpyDtype } from './numpy.js';
import { PickleDict, PickleFault, PickleFloat, PickleTuple, readPickle } from './pickle.js';
import type { PickleGlobal, PickleHooks, PickleObject, PickleValue } from './pickle.js';
import { elementCount } from './safetensorsHeader.js';
import { shown } from './shown.js';
import { encodeLatin1 } from './torchPickle.js';

/** The modules of numpy 1 and numpy 2 that have the globals of pickles. */
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

/** Hooks for pickles of plain values, dicts and numpy's arrays. No other globals are allowed. */
export const numpyHooks: PickleHooks = {
  allows: (module, name) => allowed.has(`${module}.${name}`),
  call,
  build,
  persistent: () => {
    throw new PickleFault('it has a persistent id, which arrays do not have');
  },
  refusal: 'a file of numpy arrays may name. It was not loaded and no code was run',
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
    case 'encode':
      return encodeLatin1(args);
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

/**
 * The state of an array is (version, shape, dtype, fortran, bytes). The state of a dtype is (version, byte order, …).
 */
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

/** The items of a dict by their keys. Keys must be text, or bytes that can be decoded as text. @throws a PickleFault */
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

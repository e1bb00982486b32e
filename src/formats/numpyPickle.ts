/**
 * Pickles of dicts of numpy arrays, as detectron2 writes weights. The list of globals is fixed; every other one is refused
 * by name.
 */
import { LxmertError } from '../errors.js';
import { dtypes } from './dtypes.js';
import type { Dtype, TensorValues } from './dtypes.js';
import { PickleDict, PickleFault, PickleObject, PickleTuple, pickleError, readPickle } from './pickle.js';
import type { PickleHooks, PickleValue } from './pickle.js';
import { RegularFile } from './regularFile.js';
import { elementCount } from './safetensorsHeader.js';
import { shown } from './shown.js';
import { encodeLatin1 } from './torchPickle.js';

/** Element types by numpy's names. */
const elementTypes = new Map<string, Dtype>([
  ['f8', 'F64'],
  ['f4', 'F32'],
  ['f2', 'F16'],
  ['i8', 'I64'],
  ['i4', 'I32'],
  ['i2', 'I16'],
  ['i1', 'I8'],
  ['u1', 'U8'],
  ['b1', 'BOOL'],
]);

class NumpyDtype extends PickleObject {
  readonly kind = 'numpy.dtype';
  /** Numbers of several bytes are little-endian: `<`; of one byte: `|`. */
  order = '|';

  constructor(readonly dtype: Dtype) {
    super();
  }
}

/** An array; it has no elements before its state is set. */
class NumpyArray extends PickleObject {
  readonly kind = 'numpy.ndarray';
  contents: { readonly dtype: Dtype; readonly shape: readonly number[]; readonly bytes: Uint8Array } | undefined;
}

const arrayType = 'numpy.ndarray';

/** Since numpy 2 `numpy.core` is `numpy._core`. */
const nameOf = ({ module, name }: { readonly module: string; readonly name: string }): string =>
  `${module.replace(/^numpy\._core\b/, 'numpy.core')}.${name}`;

const calls = new Map<string, (args: readonly PickleValue[]) => PickleValue>([
  ['numpy.core.multiarray._reconstruct', () => new NumpyArray()],
  [
    'numpy.dtype',
    ([name]) => {
      const dtype = typeof name === 'string' ? elementTypes.get(name) : undefined;
      if (!dtype)
        throw new PickleFault(
          `it has an array of the type ${typeof name === 'string' ? shown(name) : 'no text'}, which is not read here`,
        );
      return new NumpyDtype(dtype);
    },
  ],
  ['_codecs.encode', encodeLatin1],
  ['collections.OrderedDict', () => new PickleDict()],
]);

const hooks: PickleHooks = {
  allows: (module, name) => [...calls.keys(), arrayType].includes(nameOf({ module, name })),
  call: (global, args) => {
    const make = calls.get(nameOf(global));
    if (!make) throw new PickleFault(`it calls ${global.fullName}, which is no function`);
    return make(args);
  },
  persistent: () => {
    throw new PickleFault('it names storages outside of it');
  },
  build: (object, state) => {
    const items = state instanceof PickleTuple ? state.items : [];
    if (object instanceof NumpyDtype && typeof items[1] === 'string') object.order = items[1];
    else if (object instanceof NumpyArray && !object.contents) object.contents = contentsOf(items);
    else throw new PickleFault(`it sets a state of ${object.kind} that is not read here`);
    return object;
  },
};

/** (version, shape, dtype, Fortran order, bytes) */
function contentsOf([, size, type, fortran, bytes]: readonly PickleValue[]): NonNullable<NumpyArray['contents']> {
  if (!(size instanceof PickleTuple) || !(type instanceof NumpyDtype) || !(bytes instanceof Uint8Array))
    throw new PickleFault('the state of an array is not read here');
  const shape = size.items.map((item) => {
    if (typeof item !== 'number' || item < 0)
      throw new PickleFault('an array has a size that is no whole number from 0 up');
    return item;
  });
  const { dtype, order } = type;
  const width = dtypes[dtype].bytes;
  if (width > 1 && order !== '<') throw new PickleFault('an array is big-endian; little-endian ones are read');
  if (fortran === true && shape.filter((each) => each !== 1).length > 1)
    throw new PickleFault('an array is in Fortran order; arrays in C order are read');
  if (elementCount(shape) * width !== bytes.length)
    throw new PickleFault(`an array of the size ${JSON.stringify(shape)} has ${bytes.length} bytes`);
  return { dtype, shape, bytes };
}

export interface NumpyTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

/** A file may have so many bytes: it is read whole. */
const maxBytes = 0x7fffffff;

/** Whether a file begins with a pickle, and not with the magic number of `torch.save`. */
export async function isPlainPickle(path: string): Promise<boolean> {
  const file = await RegularFile.open(path);
  try {
    const head = await file.read(0, Math.min(3, file.size));
    return head[0] === 0x80 && head[2] !== 0x8a;
  } finally {
    await file.close();
  }
}

/**
 * The arrays of a pickled dict, or of the dict under `model` in it, as detectron2 writes. Nothing of the file is run.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the file and what is wrong with it
 */
export async function readNumpyTensors(path: string): Promise<readonly NumpyTensor[]> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${path}: ${reason}`);
  const file = await RegularFile.open(path);
  let root: PickleValue;
  try {
    if (file.size > maxBytes) throw bad(`it has ${file.size} bytes; pickles of at most ${maxBytes} are read`);
    root = readPickle(await file.read(0, file.size), hooks).value;
  } catch (error) {
    throw pickleError(error, path, 'its pickle');
  } finally {
    await file.close();
  }
  const dictIn = (value: PickleValue): PickleDict | undefined => (value instanceof PickleDict ? value : undefined);
  const outer = dictIn(root);
  const dict = outer?.pairs.map(([key, value]) => (key === 'model' ? dictIn(value) : undefined)).find(Boolean) ?? outer;
  const tensors = new Map<string, NumpyTensor>();
  for (const [name, value] of dict?.pairs ?? []) {
    if (!(value instanceof NumpyArray) || !value.contents) continue;
    if (typeof name !== 'string') throw bad('it has an array under a key that is no text');
    if (tensors.has(name)) throw bad(`it has two arrays named ${shown(name)}`);
    const { dtype, shape, bytes } = value.contents;
    tensors.set(name, { name, dtype, shape, values: new dtypes[dtype].array(bytes.slice().buffer) });
  }
  if (tensors.size === 0) throw bad('it holds no arrays by name; expected a dict, or a dict with one under "model"');
  return [...tensors.values()];
}

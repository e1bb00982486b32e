/** A tensor in a pickled dict of numpy arrays. detectron2 writes its weights in this form. */
import { LxmertError } from '../errors.js';
import type { Dtype, TensorValues } from './dtypes.js';
import { NumpyArray, numpyTensor } from './numpy.js';
import { readNumpyPickle } from './numpyPickle.js';
import { PickleDict, pickleError } from './pickle.js';
import type { PickleValue } from './pickle.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

export interface NumpyTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

/** The largest size of a file in bytes, because the file is read at once. */
const maxBytes = 0x7fffffff;

/** Whether a file begins with a pickle that is not the magic number of `torch.save`. */
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
 * The arrays of a pickled dict in the form of detectron2. If the dict has a dict under the key `model`, the arrays are
 * those of the inner dict. No code of the file is run.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the file and what is wrong with it
 */
export async function readNumpyTensors(path: string): Promise<readonly NumpyTensor[]> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${path}: ${reason}`);
  const file = await RegularFile.open(path);
  let root: PickleValue;
  try {
    if (file.size > maxBytes) throw bad(`it has ${file.size} bytes; pickles of at most ${maxBytes} are read`);
    root = readNumpyPickle(await file.read(0, file.size));
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
    if (!(value instanceof NumpyArray)) continue;
    if (typeof name !== 'string') throw bad('it has an array under a key that is no text');
    if (tensors.has(name)) throw bad(`it has two arrays named ${shown(name)}`);
    try {
      tensors.set(name, { name, shape: value.shape, ...numpyTensor(value) });
    } catch (error) {
      throw pickleError(error, path, `its array ${shown(name)}`);
    }
  }
  if (tensors.size === 0) throw bad('it holds no arrays by name; expected a dict, or a dict with one under "model"');
  return [...tensors.values()];
}

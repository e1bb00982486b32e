import { LxmertError } from '../errors.js';
import { isPlainPickle, readNumpyTensors } from '../formats/numpyTensors.js';
import { isFolderThere } from './source.js';
import { openFolder } from './folder.js';
import { formOfFile, openSafetensors, openTorch } from './tensorFile.js';
import type { TensorFile } from './tensorFile.js';

/**
 * Opens tensors of any model with the names in the file: a folder of transformers, a `.safetensors`, a file of
 * `torch.save`, or a pickle of numpy arrays. Reads only headers, except that a pickle of numpy arrays is read completely.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if it is not a file of tensors
 */
export async function openTensors(path: string): Promise<TensorFile> {
  if (await isFolderThere(path)) return openFolder(path);
  const form = await formOfFile(path);
  if (form === 'safetensors') return openSafetensors(path);
  if (form === 'torch') return (await isPlainPickle(path)) ? openNumpy(path) : openTorch(path);
  throw new LxmertError('BAD_DATA', `${path}: it is packed; unpack it first`);
}

async function openNumpy(path: string): Promise<TensorFile> {
  const tensors = (await readNumpyTensors(path)).map(({ name, dtype, shape, values }) => ({
    ...{ fileName: name, dtype, shape },
    read: () => Promise.resolve(values),

    pieces: async function* () {
      yield values;
    },
  }));
  return { path, tensors, notes: [], close: () => Promise.resolve() };
}

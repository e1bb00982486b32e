import { LxmertError } from '../errors.js';
import { isFolderThere } from './source.js';
import { openFolder } from './folder.js';
import { formOfFile, openSafetensors, openTorch } from './tensorFile.js';
import type { TensorFile } from './tensorFile.js';

/**
 * Opens tensors of any model under the names that the file has: a folder of transformers', a `.safetensors`, or a file of
 * `torch.save`. Nothing but headers is read yet.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for what is no file of tensors
 */
export async function openTensors(path: string): Promise<TensorFile> {
  if (await isFolderThere(path)) return openFolder(path);
  const form = await formOfFile(path);
  if (form === 'safetensors') return openSafetensors(path);
  if (form === 'torch') return openTorch(path);
  throw new LxmertError('BAD_DATA', `${path}: it is packed; unpack it first`);
}

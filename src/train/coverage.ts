import { LxmertError, isLxmertError } from '../errors.js';
import { SafetensorsFile } from '../formats/safetensors.js';
import { some } from '../weights/index.js';
import type { Coverage } from '../weights/index.js';
import type { StateEntry } from './trainable.js';

export type { Coverage } from '../weights/index.js';

/** Opens all files, calls `use`, and always closes the files. A damaged file gives BAD_CHECKPOINT. */
export async function withFiles<T>(
  paths: readonly string[],
  use: (files: readonly SafetensorsFile[]) => Promise<T>,
): Promise<T> {
  const files: SafetensorsFile[] = [];
  try {
    for (const path of paths) files.push(await SafetensorsFile.open(path));
    return await use(files);
  } catch (error) {
    if (isLxmertError(error) && error.code === 'BAD_DATA')
      throw new LxmertError('BAD_CHECKPOINT', error.message, { cause: error });
    throw error;
  } finally {
    for (const file of files) await file.close();
  }
}

/** Tensors that files of other programs may have: the decoder tied to the word table, and transformers' position buffer. */
const derived = new Set(['cls.predictions.decoder.weight', 'lxmert.embeddings.position_ids']);

/** Compares the tensors of a checkpoint of lxmert with those of a model. */
export function cover(file: SafetensorsFile, wanted: readonly StateEntry[]): Coverage {
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unexpected = new Set(file.entries.keys());
  for (const { name, shape } of wanted) {
    unexpected.delete(name);
    const entry = file.entries.get(name);
    if (!entry) missing.push(name);
    else if (JSON.stringify(entry.shape) !== JSON.stringify(shape))
      misshapen.push(`${name}: file ${JSON.stringify(entry.shape)}, model ${JSON.stringify(shape)}`);
  }
  return {
    loaded: wanted.length - missing.length - misshapen.length,
    missing,
    misshapen,
    unexpected: [...unexpected].filter((name) => !derived.has(name)),
  };
}

/** @throws BAD_CHECKPOINT unless the file has exactly the tensors of the model */
export function demandWhole(path: string, { loaded, missing, misshapen, unexpected }: Coverage): void {
  const faults = [
    ...(missing.length > 0 ? [`${missing.length} missing (${some(missing)})`] : []),
    ...(misshapen.length > 0 ? [`${misshapen.length} of another shape (${some(misshapen)})`] : []),
    ...(unexpected.length > 0 ? [`${unexpected.length} unknown to the model (${some(unexpected)})`] : []),
  ];
  if (faults.length > 0)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${path}: it does not fit the model: ${loaded} tensors fit, ${faults.join(', ')}`,
    );
}

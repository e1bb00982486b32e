import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import { fileError } from '../formats/fileErrors.js';
import { shown } from '../formats/shown.js';
import { unpackTar } from '../formats/tarFile.js';
import { folderFiles, openFolder } from './folder.js';
import { nameTensors } from './names.js';
import type { Layout } from './names.js';
import { formOfFile, openSafetensors, openTorch } from './tensorFile.js';
import type { FileTensor, TensorFile } from './tensorFile.js';

/** One tensor of weights, with its name in transformers. */
export interface SourceTensor extends FileTensor {
  readonly name: string;
  /** The name of the tensor of which this is a second copy. The decoder of word logits is a copy of the word table. */
  readonly copyOf?: string | undefined;
  /** Whether it is not a weight but a constant buffer. */
  readonly buffer?: boolean | undefined;
}

/** Opened weights of lxmert or of another program. */
export interface WeightSource {
  /** The path as the user gave it. */
  readonly path: string;
  /** The folder that has the configuration and the answers beside the weights. */
  readonly folder: string;
  readonly layout: Layout;
  /** Whether the path is a folder. Its `config.json` then describes exactly these weights. */
  readonly isFolder: boolean;
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens weights of any supported form: a folder of transformers (with one or several weight files) or of BERT; a
 * checkpoint of lxmert; a run (its last checkpoint is used); a `.safetensors`; a file of `torch.save`; a `.tar.gz` of a
 * folder. Reads only headers.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a damaged file, one without tensors, or with two of one name
 */
export async function openWeights(path: string): Promise<WeightSource> {
  const { file, folder, isFolder, notes } = await openAny(path);
  try {
    const { tensors, layout } = nameTensors(file.tensors.map(({ fileName }) => fileName));
    const byName = new Map<string, SourceTensor>();
    for (const [i, { name, copyOf, buffer }] of tensors.entries()) {
      const known = byName.get(name);
      if (known)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: ${shown(known.fileName)} and ${shown(file.tensors[i].fileName)} are both ${shown(name)}`,
        );
      byName.set(name, { ...file.tensors[i], name, copyOf, buffer });
    }
    if (byName.size === 0) throw new LxmertError('BAD_DATA', `${path}: it holds no tensors`);
    return { path, folder, isFolder, layout, tensors: byName, notes: [...file.notes, ...notes], close: file.close };
  } catch (error) {
    await file.close();
    throw error;
  }
}

interface Opened {
  readonly file: TensorFile;
  readonly folder: string;
  readonly isFolder: boolean;
  readonly notes: readonly string[];
}

async function openAny(path: string): Promise<Opened> {
  if (await isFolderThere(path)) {
    // A run has its weights in its checkpoints.
    const last = join(path, 'checkpoints', 'last');
    const isRun = await stat(last).then(
      (status) => status.isDirectory(),
      () => false,
    );
    const folder = isRun ? last : path;
    const notes = isRun ? [`${path} is a run; its last checkpoint was used`] : [];
    return { file: await openFolder(folder), folder, isFolder: true, notes };
  }
  const form = await formOfFile(path);
  switch (form) {
    case 'safetensors':
      return { file: await openSafetensors(path), folder: dirname(path), isFolder: false, notes: [] };
    case 'torch':
      return { file: await openTorch(path), folder: dirname(path), isFolder: false, notes: [] };
    case 'gzip':
    case 'tar':
      return openArchive(path, form === 'gzip');
  }
}

/** Unpacks an archive into a temporary folder, which is removed when the weights are closed. */
async function openArchive(path: string, gzip: boolean): Promise<Opened> {
  const { folder, remove } = await unpackTar(path, { gzip, wanted: folderFiles });
  try {
    const file = await openFolder(folder);
    const close = async () => {
      await file.close();
      await remove();
    };
    return { file: { ...file, close }, folder, isFolder: true, notes: [] };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Whether the path is a folder; false for a file. @throws FILE_MISSING, FILE_ACCESS */
export async function isFolderThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

/**
 * Reads the values of a tensor as float32, in pieces. A piece is valid only until the next piece.
 * @throws BAD_DATA for a number that float32 cannot represent
 */
export async function* float32Pieces(
  { fileName, dtype, pieces }: FileTensor,
  path: string,
): AsyncGenerator<Float32Array, void, undefined> {
  for await (const values of pieces()) {
    const floats = toFloat32(dtype, values);
    if (dtype === 'F64')
      for (let i = 0; i < floats.length; i++)
        if (!Number.isFinite(floats[i]) && Number.isFinite(values[i]))
          throw new LxmertError('BAD_DATA', `${path}: ${shown(fileName)} holds ${values[i]}, beyond float32`);
    yield floats;
  }
}

/** Reads all values of a tensor as float32, into the beginning of `into` if it is large enough, otherwise into new memory. */
export async function readFloat32(tensor: FileTensor, path: string, into?: Float32Array): Promise<Float32Array> {
  const count = tensor.shape.reduce((a, b) => a * b, 1);
  const values = into && into.length >= count ? into.subarray(0, count) : new Float32Array(count);
  let done = 0;
  for await (const piece of float32Pieces(tensor, path)) {
    values.set(piece, done);
    done += piece.length;
  }
  return values;
}

/**
 * Checks that `openWeights` can open the weights, but does not unpack an archive.
 * @throws as `openWeights`
 */
export async function lookForWeights(path: string): Promise<void> {
  if (!(await isFolderThere(path)) && ['gzip', 'tar'].includes(await formOfFile(path))) return;
  await (await openWeights(path)).close();
}

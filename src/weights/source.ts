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

/** One tensor of weights, by transformers' name. */
export interface SourceTensor extends FileTensor {
  readonly name: string;
  /** By name, the tensor that this one repeats, as the decoder of word logits repeats the word table. */
  readonly copyOf?: string | undefined;
  /** No weight, but a buffer that is always the same. */
  readonly buffer?: boolean | undefined;
}

/** Others' or our own weights, open. */
export interface WeightSource {
  /** As it was given. */
  readonly path: string;
  /** Where the configuration and the answers beside the weights are. */
  readonly folder: string;
  readonly layout: Layout;
  /** Whether a folder was given: then its `config.json` describes these weights and no others. */
  readonly isFolder: boolean;
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens weights in any form that is read: a folder of transformers' (also in several files), of BERT's or one of our
 * checkpoints; a run, whose last checkpoint counts; a `.safetensors`; a file of `torch.save`; a `.tar.gz` of a folder.
 * Nothing but headers is read yet.
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
    // A run holds its weights in checkpoints.
    const last = join(path, 'checkpoints', 'last');
    const isRun = await stat(last).then(
      (status) => status.isDirectory(),
      () => false,
    );
    const folder = isRun ? last : path;
    const notes = isRun ? [`${path} is a run; its last checkpoint was taken`] : [];
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

/** Its files are in a temporary folder until it is closed. */
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

/** Whether a folder is there, and no file. @throws FILE_MISSING, FILE_ACCESS */
export async function isFolderThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

/**
 * The values of a tensor as float32, piece by piece; a piece is only valid until the next one.
 * @throws BAD_DATA for a number that float32 cannot hold
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

/** All of them: in the front of `into` where it is large enough, else in memory of their own. */
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
 * Whether there are weights in a form that is read: as `openWeights`, but an archive is not unpacked for it.
 * @throws as `openWeights`
 */
export async function lookForWeights(path: string): Promise<void> {
  if (!(await isFolderThere(path)) && ['gzip', 'tar'].includes(await formOfFile(path))) return;
  await (await openWeights(path)).close();
}

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { shown } from '../formats/shown.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { readTextIfThere } from './jsonFile.js';
import { openSafetensors, openTorch } from './tensorFile.js';
import type { FileTensor, TensorFile } from './tensorFile.js';

/** The weight files of a transformers folder, in the order in which transformers searches them. */
const single = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

/** Other files that are unpacked from an archive. */
export const folderFiles: ReadonlySet<string> = new Set([
  'model.safetensors',
  'pytorch_model.bin',
  'config.json',
  'bert_config.json',
  'vocab.txt',
]);

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * Opens the weights of a transformers folder, a BERT folder or a checkpoint of lxmert.
 * @throws FILE_MISSING if the folder has no weights, naming the expected files; the errors of the files' readers
 */
export async function openFolder(folder: string): Promise<TensorFile> {
  for (const name of single) {
    const path = join(folder, name);
    if (!(await isThere(path))) continue;
    if (name.endsWith('.index.json')) return openShards(folder, path);
    return name.endsWith('.safetensors') ? openSafetensors(path) : openTorch(path);
  }
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, 'read', folder);
  });
  const tensorFlow = names.some((name) => /\.ckpt(\.|$)|^tf_model\.h5$/.test(name));
  throw new LxmertError(
    'FILE_MISSING',
    `${folder} has no weights; expected ${single.join(', ')}` +
      (tensorFlow
        ? '. It has a TensorFlow checkpoint, which cannot be read: use the PyTorch form of the same model'
        : ''),
  );
}

/**
 * Opens the parts of a model that was saved in several files. Every tensor must be in the file that the index names,
 * and in no other file.
 */
async function openShards(folder: string, indexPath: string): Promise<TensorFile> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${indexPath}: ${reason}`);
  const index = parseJson((await readTextIfThere(indexPath)) ?? '', indexPath);
  const map = isRecord(index) ? index.weight_map : undefined;
  if (!isRecord(map) || Object.values(map).some((value) => typeof value !== 'string'))
    throw bad("expected an object with a 'weight_map' of names to files");
  const shardOf = new Map(Object.entries(map as Record<string, string>));
  const shards = [...new Set(shardOf.values())];
  for (const shard of shards)
    if (/[/\\]|^\.|\0/.test(shard) || shard === '')
      throw bad(`it names the file ${shown(shard)}; expected a name in the same folder`);
  const files: TensorFile[] = [];
  const close = async () => {
    for (const file of files) await file.close();
  };
  try {
    const tensors: FileTensor[] = [];
    const extra: string[] = [];
    for (const shard of shards) {
      const path = join(folder, shard);
      const file = await (shard.endsWith('.safetensors') ? openSafetensors(path) : openTorch(path));
      files.push(file);
      for (const tensor of file.tensors) {
        const expected = shardOf.get(tensor.fileName);
        if (expected === shard) tensors.push({ ...tensor, place: tensor.place && `${shard} ${tensor.place}` });
        else if (expected === undefined) extra.push(tensor.fileName);
        else throw bad(`it says that ${shown(tensor.fileName)} is in ${expected}, but ${shard} has it, too`);
      }
    }
    const found = new Set(tensors.map(({ fileName }) => fileName));
    for (const [name, shard] of shardOf)
      if (!found.has(name)) throw bad(`it says that ${shown(name)} is in ${shard}, but it is not`);
    const notes = [
      ...files.flatMap((file) => file.notes),
      ...(extra.length > 0
        ? [`${extra.length} tensors are in the files but not in the index, such as ${shown(extra[0])}`]
        : []),
    ];
    return { path: folder, tensors, notes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

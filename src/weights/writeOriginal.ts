import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { makeFolder, writeFileAtomic } from '../formats/atomicFile.js';
import { fileError } from '../formats/fileErrors.js';
import { writeTorchFile } from '../formats/torchWriter.js';
import type { TorchTensorSpec } from '../formats/torchWriter.js';
import { readTextIfThere } from './jsonFile.js';
import type { ModelKind } from './kinds.js';
import type { OutputModel } from './output.js';
import { configText } from './writeFolder.js';

const wordTable = 'bert.embeddings.word_embeddings.weight';

/**
 * The name of a tensor in the original's files. In a fine-tuned model the names of the encoder begin with
 * `lxrt_encoder.model.`, and the names of the answer head have no prefix.
 */
export function originalName(name: string, kind: ModelKind): string {
  const plain = name.replace(/^lxmert\./, 'bert.');
  if (kind === 'pretraining' || kind === 'encoder') return plain;
  return plain.startsWith('answer_head.') ? plain.slice('answer_head.'.length) : `lxrt_encoder.model.${plain}`;
}

/**
 * Writes a `.pth` with the names of the original's code, so that this code can load it: a pre-trained model by its
 * options `--load`, `--loadLXMERT` and `--loadLXMERTQA`, a fine-tuned model by `--load`. A `.pth` has no place for the
 * configuration and the answers, so they are written to `config.json` and `answers.json` in the same folder.
 * @throws FILE_ACCESS, also if the folder has a `config.json` or `answers.json` of another model
 */
export async function writeOriginalFile(path: string, model: OutputModel): Promise<void> {
  const { kind, config, tensors, dtype, answers, pieces } = model;
  const names = new Map(tensors.map(({ name }) => [originalName(name, kind), name]));
  const specs: TorchTensorSpec[] = tensors.map(({ name, shape }) => ({ name: originalName(name, kind), shape }));
  const words = specs.find(({ name }) => name === wordTable);
  // The decoder of the word logits shares its weight with the word table.
  if (words && specs.some(({ name }) => name.startsWith('cls.predictions.')))
    specs.push({ name: 'cls.predictions.decoder.weight', shape: words.shape, sharedWith: wordTable });
  const beside = [
    { path: join(dirname(path), 'config.json'), text: configText(config, model) },
    ...(answers ? [{ path: join(dirname(path), 'answers.json'), text: `${JSON.stringify(answers)}\n` }] : []),
  ];
  try {
    await makeFolder(dirname(path));
  } catch (error) {
    throw fileError(error, 'write', path);
  }
  for (const file of beside) {
    const there = await readTextIfThere(file.path);
    if (there !== undefined && there !== file.text)
      throw new LxmertError(
        'FILE_ACCESS',
        `cannot write ${path}: ${file.path} exists already and describes other weights. Write to another folder`,
      );
  }
  await writeTorchFile(path, specs, dtype, (name) => pieces(names.get(name)!));
  for (const file of beside) await writeFileAtomic(file.path, file.text);
}

/** Whether a file or folder of this name exists. @throws FILE_ACCESS if the system cannot check this */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError(error, 'write', path);
  }
}

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

/** The original's name: a fine-tuned model holds its encoder under `lxrt_encoder.model`, and its head beside it. */
export function originalName(name: string, kind: ModelKind): string {
  const plain = name.replace(/^lxmert\./, 'bert.');
  if (kind === 'pretraining' || kind === 'encoder') return plain;
  return plain.startsWith('answer_head.') ? plain.slice('answer_head.'.length) : `lxrt_encoder.model.${plain}`;
}

/**
 * Writes a `.pth` that the original's code loads, by its names: for a pre-trained model what its `--load…` options take,
 * for a fine-tuned one what `--load` takes. The configuration and the answers, which such a file cannot hold, lie beside it.
 * @throws FILE_ACCESS, also where another model's `config.json` or `answers.json` is in the way
 */
export async function writeOriginalFile(path: string, model: OutputModel): Promise<void> {
  const { kind, config, tensors, dtype, answers, pieces } = model;
  const names = new Map(tensors.map(({ name }) => [originalName(name, kind), name]));
  const specs: TorchTensorSpec[] = tensors.map(({ name, shape }) => ({ name: originalName(name, kind), shape }));
  const words = specs.find(({ name }) => name === wordTable);
  // The decoder of the word logits is the word table.
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
        `cannot write ${path}: ${file.path} is there already and describes other weights. Give a name in a folder of its own`,
      );
  }
  await writeTorchFile(path, specs, dtype, (name) => pieces(names.get(name)!));
  for (const file of beside) await writeFileAtomic(file.path, file.text);
}

/** Whether something has this name. @throws FILE_ACCESS when that cannot be told */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError(error, 'write', path);
  }
}

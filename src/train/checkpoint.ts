import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError, isLxmertError } from '../errors.js';
import { writeFileAtomic, writeFileDurable, writeFolderAtomic } from '../formats/atomicFile.js';
import { fileError, isThere, systemCode } from '../formats/fileErrors.js';
import { writeSafetensors } from '../formats/safetensors.js';
import type { TensorSpec } from '../formats/safetensors.js';
import { checksumFile, demandIntact, StateSums } from './checksums.js';
import { cover, demandWhole, withFiles } from './coverage.js';
import type { Coverage } from './coverage.js';
import type { StoredModel, StateEntry, StateKind } from './trainable.js';
import { formatTrainerState, parseTrainerState } from './trainerState.js';
import type { TrainerState } from './trainerState.js';

/** The files of a checkpoint folder. */
export const checkpointFiles = {
  model: 'model.safetensors',
  config: 'config.json',
  /** Moments. The number in the name makes more than one file possible. */
  optimizer: 'optimizer-00000.safetensors',
  state: 'trainer_state.json',
  /** Answers in the order of the answer head's rows; absent when the data have no answer table. */
  answers: 'answers.json',
  /** WordPieces in the order of the word table's rows; absent in checkpoints of older versions. */
  vocabulary: 'vocab.txt',
} as const;

const moments = ['firstMoment', 'secondMoment'] as const;

const momentName = (kind: StateKind, name: string) => `${kind}.${name}`;

export interface CheckpointContents {
  readonly model: StoredModel;
  readonly state: TrainerState;
  /** Text files beside the weights, by name, such as `config.json`. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Writes a checkpoint. At any instant `folder` exists with all its files, or not at all. Tensors are copied from the
 * device to the file one at a time.
 * @throws FILE_ACCESS (disk full); no file remains in this case
 */
export async function writeCheckpoint(folder: string, contents: CheckpointContents): Promise<void> {
  const { model, state, files } = contents;
  await writeFolderAtomic(folder, async (inside) => {
    const sums = new StateSums();
    const read = async (kind: StateKind, name: string) => sums.add(kind, await model.read(kind, name));
    const specs = model.parameters.map(toSpec);
    await writeSafetensors(join(inside, checkpointFiles.model), specs, (name) => read('parameter', name));
    const sources = new Map(
      moments.flatMap((kind) =>
        model.parameters.map((entry) => [momentName(kind, entry.name), { kind, entry }] as const),
      ),
    );
    await writeSafetensors(
      join(inside, checkpointFiles.optimizer),
      [...sources].map(([name, { entry }]) => ({ ...toSpec(entry), name })),
      (name) => {
        const source = sources.get(name)!;
        return read(source.kind, source.entry.name);
      },
    );
    await writeFileDurable(join(inside, checksumFile), sums.toText());
    for (const [name, text] of Object.entries(files)) await writeFileDurable(join(inside, name), text);
    await writeFileDurable(join(inside, checkpointFiles.state), formatTrainerState(state));
  });
}

/** Takes part in `writeCheckpoint` of another rank, which reads moments that only this rank stores. */
export async function giveMoments(model: StoredModel): Promise<void> {
  for (const kind of moments) for (const { name } of model.parameters) await model.read(kind, name);
}

/** Replaces only the trainer state of a checkpoint, in one operation. */
export function rewriteTrainerState(folder: string, state: TrainerState): Promise<void> {
  return writeFileAtomic(join(folder, checkpointFiles.state), formatTrainerState(state));
}

/** @throws BAD_CHECKPOINT, FILE_MISSING, FILE_ACCESS naming the file */
export async function readTrainerState(folder: string): Promise<TrainerState> {
  const path = join(folder, checkpointFiles.state);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  return parseTrainerState(text, path);
}

/**
 * Runs `read`. It can fail because a file of a run's newest checkpoint is missing or damaged. In this case the error
 * also says what the user can do.
 * @throws the errors of `read`
 */
export async function hinting<T>(folder: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const hint = `Move ${folder} away, and --resume continues from the checkpoint before it`;
    const isDamage = isLxmertError(error) && ['FILE_MISSING', 'BAD_CHECKPOINT', 'BAD_DATA'].includes(error.code);
    if (!isDamage || error.message.includes(hint)) throw error;
    throw new LxmertError(error.code, `${error.message}. ${hint}`, { cause: error });
  }
}

/** Text files that checkpoints of older versions do not have. */
const newFiles: readonly string[] = [checkpointFiles.vocabulary];

/**
 * Checks the text files of a checkpoint of the same run. A JSON file must be valid JSON; another file must have the same
 * text as the run would write.
 * @param files the texts that the run would write, by file name
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT naming the file
 */
export async function demandFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, expected] of Object.entries(files)) {
    const path = join(folder, name);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (newFiles.includes(name) && systemCode(error) === 'ENOENT') return expected;
      throw fileError(error, 'read', path);
    });
    if (name.endsWith('.json')) parseJson(text, path);
    else if (text !== expected)
      throw new LxmertError(
        'BAD_CHECKPOINT',
        `${path}: it is damaged or of another run: its text is not that of this run`,
      );
  }
}

/** The answers of a checkpoint's answer head; undefined when it has none. */
export async function readCheckpointAnswers(folder: string): Promise<readonly string[] | undefined> {
  const path = join(folder, checkpointFiles.answers);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'read', path);
  });
  if (text === undefined) return undefined;
  const value = parseJson(text, path);
  if (Array.isArray(value) && value.every((answer) => typeof answer === 'string')) return value;
  throw new LxmertError('BAD_CHECKPOINT', `${path}: expected a list of answers`);
}

/** The vocabulary file of a checkpoint, for `WordPiece.load`; undefined when it has none. */
export async function findVocabulary(folder: string): Promise<string | undefined> {
  const path = join(folder, checkpointFiles.vocabulary);
  return (await isThere(path)) ? path : undefined;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new LxmertError('BAD_CHECKPOINT', `${path}: it is not JSON`, { cause: error });
  }
}

/**
 * Loads the weights of a checkpoint, which must have exactly the tensors of this model. Moments are not loaded.
 * @throws BAD_CHECKPOINT naming what does not fit or is damaged; FILE_MISSING, FILE_ACCESS
 */
export async function loadWeights(folder: string, model: StoredModel): Promise<void> {
  await withFiles([join(folder, checkpointFiles.model)], async ([weights]) => {
    demandWhole(weights.path, cover(weights, model.parameters));
    const sums = new StateSums();
    for (const { name } of model.parameters)
      await model.write('parameter', name, sums.add('parameter', await weights.readFloat32(name)));
    await demandIntact(folder, { parameter: checkpointFiles.model }, sums);
  });
}

/**
 * Loads all weights and moments of a checkpoint, which must have exactly the tensors of this model. Nothing is written to
 * the model before all names and shapes are checked.
 * @throws BAD_CHECKPOINT naming what does not fit or is damaged; FILE_MISSING, FILE_ACCESS; the signal's reason
 */
export async function loadCheckpoint(folder: string, model: StoredModel, signal?: AbortSignal): Promise<Coverage> {
  const paths = [checkpointFiles.model, checkpointFiles.optimizer].map((file) => join(folder, file));
  return withFiles(paths, async ([weights, optimizer]) => {
    const coverage = cover(weights, model.parameters);
    demandWhole(weights.path, coverage);
    demandWhole(
      optimizer.path,
      cover(
        optimizer,
        moments.flatMap((kind) => model.parameters.map(({ name, shape }) => ({ name: momentName(kind, name), shape }))),
      ),
    );
    const sums = new StateSums();
    for (const { name } of model.parameters) {
      signal?.throwIfAborted();
      await model.write('parameter', name, sums.add('parameter', await weights.readFloat32(name)));
      for (const kind of moments)
        await model.write(kind, name, sums.add(kind, await optimizer.readFloat32(momentName(kind, name))));
    }
    const { model: parameter, optimizer: moment } = checkpointFiles;
    await demandIntact(folder, { parameter, firstMoment: moment, secondMoment: moment }, sums);
    return coverage;
  });
}

const toSpec = ({ name, shape }: StateEntry): TensorSpec => ({ name, dtype: 'F32', shape });

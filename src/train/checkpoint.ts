import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { writeFileAtomic, writeFileDurable, writeFolderAtomic } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
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
  /** Moments; more than one file is foreseen, this is the first. */
  optimizer: 'optimizer-00000.safetensors',
  state: 'trainer_state.json',
  /** Answers in the order of the answer head's rows; absent when the data have no answer table. */
  answers: 'answers.json',
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
 * Writes a checkpoint: at any instant `folder` is there whole or not at all. Tensors go from the device to the file one
 * by one.
 * @throws FILE_ACCESS (disk full); nothing is left behind then
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

/** Replaces only the trainer state of a checkpoint, at once. */
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

/** The answers of a checkpoint's answer head; undefined when it has none. */
export async function readCheckpointAnswers(folder: string): Promise<readonly string[] | undefined> {
  const path = join(folder, checkpointFiles.answers);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    if (error instanceof SyntaxError)
      throw new LxmertError('BAD_CHECKPOINT', `${path}: it is not JSON`, { cause: error });
    throw fileError(error, 'read', path);
  }
  if (!Array.isArray(value) || value.some((answer) => typeof answer !== 'string'))
    throw new LxmertError('BAD_CHECKPOINT', `${path}: expected a list of answers`);
  return value as string[];
}

/**
 * Takes the weights of a checkpoint of exactly this model; its moments stay in the file.
 * @throws BAD_CHECKPOINT saying what does not fit, or is not what was written; FILE_MISSING, FILE_ACCESS
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
 * Continues from a checkpoint: all weights and moments, of exactly this model. Nothing is written to the model before
 * all names and shapes are checked.
 * @throws BAD_CHECKPOINT saying what does not fit, or is not what was written; FILE_MISSING, FILE_ACCESS; the signal's
 *   reason
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

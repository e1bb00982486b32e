import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError, isLxmertError } from '../errors.js';
import { writeFileAtomic, writeFileDurable, writeFolderAtomic } from '../formats/atomicFile.js';
import { fileError } from '../formats/fileErrors.js';
import { SafetensorsFile, writeSafetensors } from '../formats/safetensors.js';
import type { TensorSpec } from '../formats/safetensors.js';
import type { PretrainModel, StateEntry, StateKind } from './ports.js';
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
  readonly model: PretrainModel;
  readonly state: TrainerState;
  /** Text of `config.json`: transformers' keys. */
  readonly modelConfig: string;
  readonly answers?: readonly string[] | undefined;
}

/**
 * Writes a checkpoint: at any instant `folder` is there whole or not at all. Tensors go from the device to the file one
 * by one.
 * @throws FILE_ACCESS (disk full); nothing is left behind then
 */
export async function writeCheckpoint(folder: string, contents: CheckpointContents): Promise<void> {
  const { model, state, modelConfig, answers } = contents;
  await writeFolderAtomic(folder, async (inside) => {
    const specs = model.parameters.map(toSpec);
    await writeSafetensors(join(inside, checkpointFiles.model), specs, (name) => model.read('parameter', name));
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
        return model.read(source.kind, source.entry.name);
      },
    );
    await writeFileDurable(join(inside, checkpointFiles.config), modelConfig);
    if (answers) await writeFileDurable(join(inside, checkpointFiles.answers), `${JSON.stringify(answers)}\n`);
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
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    if (error instanceof SyntaxError)
      throw new LxmertError('BAD_CHECKPOINT', `${path}: it is not JSON`, { cause: error });
    throw fileError(error, 'read', path);
  }
  if (!Array.isArray(value) || value.some((answer) => typeof answer !== 'string'))
    throw new LxmertError('BAD_CHECKPOINT', `${path}: expected a list of answers`);
  return value as string[];
}

/** What of a model a checkpoint has. */
export interface Coverage {
  readonly loaded: number;
  /** Parameters of the model that are not in the file. */
  readonly missing: readonly string[];
  /** Tensors of the file that the model does not have. */
  readonly unexpected: readonly string[];
  /** `name: file [2,3], model [2,4]`. */
  readonly misshapen: readonly string[];
}

/**
 * Continues from a checkpoint: all weights and moments, of exactly this model. Nothing is written to the model before
 * all names and shapes are checked.
 * @throws BAD_CHECKPOINT saying what does not fit; FILE_MISSING, FILE_ACCESS
 */
export async function loadCheckpoint(folder: string, model: PretrainModel): Promise<Coverage> {
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
    for (const { name } of model.parameters) {
      await model.write('parameter', name, await weights.readFloat32(name));
      for (const kind of moments) await model.write(kind, name, await optimizer.readFloat32(momentName(kind, name)));
    }
    return coverage;
  });
}

/**
 * Takes initial weights from a `model.safetensors`, ours or transformers' (`bert.` for `lxmert.` too). Heads that are
 * missing or of another shape keep their values; the encoder must be there.
 * @throws BAD_CHECKPOINT when encoder weights are missing or of other shapes; FILE_MISSING, FILE_ACCESS
 */
export async function loadInitialWeights(folder: string, model: PretrainModel): Promise<Coverage> {
  return withFiles([join(folder, checkpointFiles.model)], async ([weights]) => {
    const original = ![...weights.entries.keys()].some((name) => name.startsWith('lxmert.'));
    const nameInFile = (name: string) => (original ? name.replace(/^lxmert\./, 'bert.') : name);
    const coverage = cover(weights, model.parameters, nameInFile);
    const isEncoder = (text: string) => text.startsWith('lxmert.');
    const lost = [...coverage.missing, ...coverage.misshapen].filter(isEncoder);
    if (lost.length > 0)
      throw new LxmertError(
        'BAD_CHECKPOINT',
        `${weights.path}: ${lost.length} encoder weights are missing or of another shape: ${some(lost)}. ` +
          'Do hiddenSize, intermediateSize and the numbers of layers agree with its config.json?',
      );
    const left = new Set([...coverage.missing, ...coverage.misshapen.map((text) => text.slice(0, text.indexOf(':')))]);
    for (const { name } of model.parameters)
      if (!left.has(name)) await model.write('parameter', name, await weights.readFloat32(nameInFile(name)));
    return coverage;
  });
}

const toSpec = ({ name, shape }: StateEntry): TensorSpec => ({ name, dtype: 'F32', shape });

/** Opens all files, and closes them whatever happens; a damaged one is a BAD_CHECKPOINT. */
async function withFiles<T>(
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

/** Tensors that may be in a file of others: the decoder tied to the word table, and transformers' position buffer. */
const derived = new Set([
  'cls.predictions.decoder.weight',
  'lxmert.embeddings.position_ids',
  'bert.embeddings.position_ids',
]);

function cover(
  file: SafetensorsFile,
  wanted: readonly StateEntry[],
  nameInFile: (name: string) => string = (name) => name,
): Coverage {
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unexpected = new Set(file.entries.keys());
  for (const { name, shape } of wanted) {
    unexpected.delete(nameInFile(name));
    const entry = file.entries.get(nameInFile(name));
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

function demandWhole(path: string, { loaded, missing, misshapen, unexpected }: Coverage): void {
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

/** The first few of a list, for a message. */
function some(names: readonly string[]): string {
  return names.slice(0, 3).join('; ') + (names.length > 3 ? `; and ${names.length - 3} more` : '');
}

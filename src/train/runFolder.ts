import { readFile, readdir } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import type { ConfigTree } from '../config/presets.js';
import { LxmertError } from '../errors.js';
import { makeFolder, removeTemporaries, writeFileAtomic } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { isRecord } from '../records.js';
import { checkpointFiles, hinting, readTrainerState } from './checkpoint.js';
import { checkpointName, listCheckpoints, stepOfName } from './checkpointStore.js';
import { RunLock } from './runLock.js';
import type { TrainerState } from './trainerState.js';

/** The files of a run folder. */
export const runFiles = { config: 'config.json', metrics: 'metrics.jsonl', checkpoints: 'checkpoints' } as const;

/** The contents of a run folder. */
export interface RunContents {
  /** The configuration of the run; absent if the run ended before it wrote its configuration. */
  readonly config?: ConfigTree | undefined;
  /** Steps with a checkpoint, ascending. */
  readonly checkpoints: readonly number[];
  readonly hasMetrics: boolean;
}

/**
 * Reads the contents of a run folder without changing it. A folder that does not exist has no contents.
 * @throws RUN_FOLDER if the folder is a checkpoint or the folder of a run's checkpoints; FILE_ACCESS
 */
export async function lookIntoRun(folder: string): Promise<RunContents> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (systemCode(error) === 'ENOENT') return [];
    throw fileError(error, 'read the run folder', folder);
  });
  demandNoCheckpoint(folder, names);
  return {
    config: await readSavedConfig(join(folder, runFiles.config)),
    checkpoints: await listCheckpoints(join(folder, runFiles.checkpoints)),
    hasMetrics: names.includes(runFiles.metrics),
  };
}

/** Throws RUN_FOLDER if the folder is a checkpoint or the folder of a run's checkpoints. */
function demandNoCheckpoint(folder: string, names: readonly string[]): void {
  const isCheckpoint = names.includes(checkpointFiles.model);
  const holdsCheckpoints = !names.includes(runFiles.config) && names.some((name) => stepOfName(name) !== undefined);
  if (!isCheckpoint && !holdsCheckpoints) return;
  const parts = resolve(folder).split(sep);
  const at = parts.lastIndexOf(runFiles.checkpoints);
  const run = at > 0 ? parts.slice(0, at).join(sep) : undefined;
  throw new LxmertError(
    'RUN_FOLDER',
    `${folder} ${isCheckpoint ? 'is a checkpoint' : 'contains the checkpoints of a run'}; the folder of the run is expected` +
      (run === undefined ? '' : `: ${run}`),
  );
}

/** The folder of a run. */
export interface RunPlace {
  readonly path: string;
  readonly checkpoints: string;
  writeConfig(config: object): Promise<void>;
}

/** The run folder for a rank that must not write into it. */
export function placeOf(path: string): RunPlace {
  return { path, checkpoints: join(path, runFiles.checkpoints), writeConfig: async () => undefined };
}

/** A run folder that this process has locked. */
export class RunFolder implements RunPlace {
  readonly path: string;
  readonly lock: RunLock;

  private constructor(path: string, lock: RunLock) {
    this.path = path;
    this.lock = lock;
  }

  get metrics(): string {
    return join(this.path, runFiles.metrics);
  }

  get checkpoints(): string {
    return join(this.path, runFiles.checkpoints);
  }

  /**
   * Makes the folder if it does not exist, and locks it. Without `resume`, the folder must not contain a run.
   * @throws RUN_FOLDER (the folder is in use, or contains a run), FILE_ACCESS
   */
  static async open(path: string, { resume }: { readonly resume: boolean }): Promise<RunFolder> {
    try {
      await makeFolder(path);
    } catch (error) {
      throw fileError(error, 'make the run folder', path);
    }
    const lock = await RunLock.take(path);
    try {
      if (!resume) await demandNoRun(path);
      await removeTemporaries(path);
      return new RunFolder(path, lock);
    } catch (error) {
      await lock.release();
      throw fileError(error, 'use the run folder', path);
    }
  }

  /** State of the newest checkpoint; undefined if there is no checkpoint. @throws BAD_CHECKPOINT, FILE_MISSING */
  async newestState(): Promise<TrainerState | undefined> {
    return newestState(this.path);
  }

  async writeConfig(config: object): Promise<void> {
    await writeFileAtomic(join(this.path, runFiles.config), `${JSON.stringify(config, null, 2)}\n`);
  }

  async close(): Promise<void> {
    await this.lock.release();
  }
}

/** State of the newest checkpoint of a run; undefined if there is no checkpoint. */
export async function newestState(folder: string): Promise<TrainerState | undefined> {
  const checkpoints = join(folder, runFiles.checkpoints);
  const step = (await listCheckpoints(checkpoints)).at(-1);
  if (step === undefined) return undefined;
  const newest = join(checkpoints, checkpointName(step));
  return hinting(newest, () => readTrainerState(newest));
}

async function demandNoRun(path: string): Promise<void> {
  const { config, checkpoints, hasMetrics } = await lookIntoRun(path);
  if (!config && checkpoints.length === 0 && !hasMetrics) return;
  const reached = checkpoints.length > 0 ? `, saved at step ${checkpoints.at(-1)}` : '';
  throw new LxmertError(
    'RUN_FOLDER',
    `${path} already contains a run${reached}; add --resume to continue it, or give another --out`,
  );
}

async function readSavedConfig(path: string): Promise<ConfigTree | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw fileError(error, 'read', path);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // If the text is not JSON, the error below is thrown.
  }
  throw new LxmertError(
    'RUN_FOLDER',
    `${path} is not the description of a run; give another --out, or remove the file`,
  );
}

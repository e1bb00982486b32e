import { readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, removeFolderAtomic, removeTemporaries, replaceLink } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { writeCheckpoint } from './checkpoint.js';
import type { CheckpointContents } from './checkpoint.js';

const pattern = /^step-(\d{8,})$/;

/** Folder name of a checkpoint: `step-00000040`. */
export const checkpointName = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/** The step of a checkpoint's folder name; undefined for any other name. */
export function stepOfName(name: string): number | undefined {
  const match = pattern.exec(name);
  return match ? Number(match[1]) : undefined;
}

export interface CheckpointStoreOptions {
  /** Number of newest checkpoints to keep. */
  readonly keep: number;
  /** Returns whether the checkpoint of a step must never be removed. By default every checkpoint may be removed. */
  readonly forGood?: ((step: number) => boolean) | undefined;
}

/**
 * The checkpoints of a run (`RUN/checkpoints`) with the links `last` and `best`. The newest and the best checkpoint are
 * never removed. Only the process that has the lock of the run may use this store.
 */
export class CheckpointStore {
  readonly folder: string;
  readonly #options: CheckpointStoreOptions;

  constructor(folder: string, options: CheckpointStoreOptions) {
    this.folder = folder;
    this.#options = options;
  }

  /** Whether the checkpoint of a step is never removed, however many newer ones there are. */
  keepsForGood(step: number): boolean {
    return this.#options.forGood?.(step) ?? false;
  }

  path(step: number): string {
    return join(this.folder, checkpointName(step));
  }

  /** Steps with a checkpoint, ascending; empty when there is no folder. */
  async steps(): Promise<number[]> {
    return listCheckpoints(this.folder);
  }

  /** Makes the folder, and removes temporary files that a killed process left in it. */
  async prepare(): Promise<void> {
    try {
      await makeFolder(this.folder);
      await removeTemporaries(this.folder);
    } catch (error) {
      throw fileError(error, 'prepare', this.folder);
    }
  }

  /** Writes a checkpoint, sets the links, and removes the checkpoints that are not to be kept. @throws FILE_ACCESS */
  async save(contents: CheckpointContents): Promise<string> {
    const { step, best } = contents.state;
    const path = this.path(step);
    await writeCheckpoint(path, contents);
    await this.settle(best?.step);
    return path;
  }

  /**
   * Sets the links, and removes the checkpoints that are not to be kept. If a kill interrupted this work, the next call
   * completes it.
   */
  async settle(best: number | undefined): Promise<void> {
    const steps = await this.steps();
    const newest = steps.at(-1);
    if (newest === undefined) return;
    await this.#point('last', newest);
    if (best !== undefined && steps.includes(best)) await this.#point('best', best);
    else await rm(join(this.folder, 'best'), { force: true });
    for (const step of steps.slice(0, -this.#options.keep))
      if (step !== best && !this.keepsForGood(step)) await removeFolderAtomic(this.path(step));
  }

  /** Removes all checkpoints, for a run that starts from step 0. */
  async clear(): Promise<void> {
    try {
      for (const step of await this.steps()) await removeFolderAtomic(this.path(step));
      for (const link of ['last', 'best']) await rm(join(this.folder, link), { force: true });
    } catch (error) {
      throw fileError(error, 'remove the checkpoints in', this.folder);
    }
  }

  async #point(link: string, step: number): Promise<void> {
    const path = join(this.folder, link);
    const target = checkpointName(step);
    const now = await readlink(path).catch(() => undefined);
    if (now !== target) await replaceLink(path, target);
  }
}

/** Steps of the checkpoints in a folder, ascending; empty when the folder does not exist. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  try {
    const names = await readdir(folder);
    return names.flatMap((name) => stepOfName(name) ?? []).sort((a, b) => a - b);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw fileError(error, 'read', folder);
  }
}

import { readdir, readlink, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeFolder, removeFolderAtomic, removeTemporaries, replaceLink } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { writeCheckpoint } from './checkpoint.js';
import type { CheckpointContents } from './checkpoint.js';

const pattern = /^step-(\d{8,})$/;

/** Folder name of a checkpoint: `step-00000040`. */
export const checkpointName = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/**
 * The checkpoints of a run (`RUN/checkpoints`) with the links `last` and `best`. The newest and the best are never
 * removed. For the process that holds the run's lock.
 */
export class CheckpointStore {
  readonly folder: string;
  readonly #keep: number;

  constructor(folder: string, options: { readonly keep: number }) {
    this.folder = folder;
    this.#keep = options.keep;
  }

  path(step: number): string {
    return join(this.folder, checkpointName(step));
  }

  /** Steps with a checkpoint, ascending; none when there is no folder. */
  async steps(): Promise<number[]> {
    return listCheckpoints(this.folder);
  }

  /** Makes the folder, and clears away what a process that died left in it. */
  async prepare(): Promise<void> {
    try {
      await makeFolder(this.folder);
      await removeTemporaries(this.folder);
    } catch (error) {
      throw fileError(error, 'prepare', this.folder);
    }
  }

  /** Writes a checkpoint, points the links, and removes those no longer to be kept. @throws FILE_ACCESS */
  async save(contents: CheckpointContents): Promise<string> {
    const { step, best } = contents.state;
    const path = this.path(step);
    await writeCheckpoint(path, contents);
    await this.settle(best?.step);
    return path;
  }

  /** Makes links and kept folders agree with the newest checkpoint; repairs what a kill left half done. */
  async settle(best: number | undefined): Promise<void> {
    const steps = await this.steps();
    const newest = steps.at(-1);
    if (newest === undefined) return;
    await this.#point('last', newest);
    if (best !== undefined && steps.includes(best)) await this.#point('best', best);
    else await rm(join(this.folder, 'best'), { force: true });
    for (const step of steps.slice(0, -this.#keep)) if (step !== best) await removeFolderAtomic(this.path(step));
  }

  /** Removes all checkpoints (a run that starts over). */
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

/** Steps of the checkpoints in a folder, ascending; none when it does not exist. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  try {
    const names = await readdir(folder);
    return names
      .flatMap((name) => {
        const match = pattern.exec(basename(name));
        return match ? [Number(match[1])] : [];
      })
      .sort((a, b) => a - b);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw fileError(error, 'read', folder);
  }
}

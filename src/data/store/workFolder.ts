import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { makeFolder, syncFolder } from '../../formats/atomicFile.js';
import { fileError, isThere, systemCode } from '../../formats/fileErrors.js';
import { isRecord } from '../../records.js';
import type { SkippedRecord, StoredShard } from './storeForm.js';

/** A position in a source: the number of records that were read, and what the source needs to continue there. */
export interface SourcePosition {
  /** The number of the input that is being read, from 0, if there are several inputs. */
  readonly input?: number | undefined;
  readonly records: number;
  /** The number of the file that is being read, from 0, if there are several files. */
  readonly part?: number | undefined;
  /** Byte offset, and the number of lines before it. Absent for sources that cannot start at any byte. */
  readonly offset?: number | undefined;
  readonly line?: number | undefined;
}

/** A complete shard, and the position after its last record. */
export interface DoneShard {
  readonly shard: StoredShard;
  readonly position: SourcePosition;
  /** Records that were left out after the previous shard. */
  readonly skipped: readonly SkippedRecord[];
  readonly featureDim: number;
}

/**
 * The folder in which a store is made: `STORE.importing`. It contains the store (`store`), one index for each shard,
 * and `progress.jsonl`: one line that describes the import, then one line for each complete shard.
 */
export interface WorkFolder {
  readonly path: string;
  /** The folder that becomes the store. */
  readonly store: string;
  readonly done: readonly DoneShard[];
  /** Whether there was unfinished work of an earlier import with other settings or files. This work was removed. */
  readonly startedOver: boolean;
  indexOf(shard: number): string;
  /** Records a shard whose files are synced. */
  note(done: DoneShard): Promise<void>;
  /** Releases the lock, so that another process can work in the folder. Removes the folder if no shard is complete. */
  release(): Promise<void>;
}

export const workFolderOf = (out: string): string => `${out.replace(/\/+$/, '')}.importing`;

/**
 * Opens the work folder of a store. If an earlier import with the same `name` was killed, its finished shards are kept.
 * @param name the settings and the source's files, as text
 * @throws FILE_ACCESS if another process works there
 */
export async function openWorkFolder(out: string, name: string): Promise<WorkFolder> {
  const path = workFolderOf(out);
  const progress = join(path, 'progress.jsonl');
  const store = join(path, 'store');
  try {
    await makeFolder(path);
    await takeLock(path);
    let done = await readProgress(progress, name);
    const startedOver = done === undefined && (await isThere(progress));
    if (done === undefined) {
      await rm(progress, { force: true });
      await rm(store, { recursive: true, force: true });
      await makeFolder(store);
      await append(progress, `${JSON.stringify({ import: name })}\n`);
      await syncFolder(path);
      done = [];
    }
    let shards = done.length;
    return {
      ...{ path, store, done, startedOver },
      indexOf: (shard) => join(path, `index-${shard}.safetensors`),
      note: async (shard) => {
        await syncFolder(store);
        await append(progress, `${JSON.stringify(shard)}\n`);
        shards++;
      },
      release: () => rm(shards === 0 ? path : join(path, lockName), { recursive: true, force: true }),
    };
  } catch (error) {
    throw fileError(error, 'work in', path);
  }
}

async function append(path: string, line: string): Promise<void> {
  const file = await open(path, 'a');
  try {
    await file.write(line);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The recorded shards; undefined if the folder is new or belongs to another import. */
async function readProgress(path: string, name: string): Promise<DoneShard[] | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return '';
    throw error;
  });
  // After a kill the last line may be incomplete. It is removed, so that the next entry begins on a new line.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const [first, ...lines] = whole
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);
  if (!isRecord(first) || first.import !== name) return undefined;
  if (whole.length < text.length) {
    const file = await open(path, 'r+');
    await file.truncate(Buffer.byteLength(whole)).finally(() => file.close());
  }
  return lines as DoneShard[];
}

const lockName = 'lock';

/** Only one process may work in the folder. The lock of a process that has ended is taken over. */
async function takeLock(folder: string): Promise<void> {
  const path = join(folder, lockName);
  const mine = `${process.pid} ${await startOf(process.pid)}`;
  for (;;) {
    try {
      const file = await open(path, 'wx');
      await file.write(mine).finally(() => file.close());
      return;
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    const holder = await readFile(path, 'utf8').catch(() => '');
    const pid = Number(holder.split(' ')[0]);
    if (pid > 0 && holder === `${pid} ${await startOf(pid)}`)
      throw new LxmertError('FILE_ACCESS', `${folder}: process ${pid} is importing into it; wait until it ends`);
    await rm(path, { force: true });
  }
}

/**
 * The time at which a process began. It distinguishes the process from a later process to which the system gives the
 * same number.
 */
async function startOf(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? 'gone';
}

import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { makeFolder, syncFolder } from '../../formats/atomicFile.js';
import { fileError, isThere, systemCode } from '../../formats/fileErrors.js';
import { isRecord } from '../../records.js';
import type { SkippedRecord, StoredShard } from './storeForm.js';

/** A position in a source: the number of records that were read, and what the source needs to continue there. */
export interface SourcePosition {
  /** Of several inputs, the number of the one that is read, from 0. */
  readonly input?: number | undefined;
  readonly records: number;
  /** Of several files, the number of the one that is read, from 0. */
  readonly part?: number | undefined;
  /** Byte offset, and the number of lines before it. Only sources that can start at any byte have them. */
  readonly offset?: number | undefined;
  readonly line?: number | undefined;
}

/** A shard that is whole, and the position behind its last record. */
export interface DoneShard {
  readonly shard: StoredShard;
  readonly position: SourcePosition;
  /** Records left out since the shard before. */
  readonly skipped: readonly SkippedRecord[];
  readonly featureDim: number;
}

/**
 * The folder in which a store is made: `STORE.importing`. It has the store (`store`), one index for each shard, and
 * `progress.jsonl`: a line that names the import, then one for each shard that is whole.
 */
export interface WorkFolder {
  readonly path: string;
  /** The folder that becomes the store. */
  readonly store: string;
  readonly done: readonly DoneShard[];
  /** Whether an earlier import with other settings or files left work behind. It was removed. */
  readonly startedOver: boolean;
  indexOf(shard: number): string;
  /** Notes a shard whose files are synced. */
  note(done: DoneShard): Promise<void>;
  /** Lets another process work here; removes the folder where no shard is whole. */
  release(): Promise<void>;
}

export const workFolderOf = (out: string): string => `${out.replace(/\/+$/, '')}.importing`;

/**
 * Opens the work folder of a store. If an earlier import with the same `name` was killed, its finished shards are kept.
 * @param name the settings and the source's files, as text
 * @throws FILE_ACCESS when another process works there
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

/** The shards that are noted; undefined where the folder is new or belongs to another import. */
async function readProgress(path: string, name: string): Promise<DoneShard[] | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return '';
    throw error;
  });
  // A kill may cut the last line; it is cut off, so that the next one begins on a line of its own.
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

/** Only one process may work in the folder. A lock of a process that is gone is taken over. */
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

/** The time at which a process began. The system may give its number to a later process, which has another time. */
async function startOf(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? 'gone';
}

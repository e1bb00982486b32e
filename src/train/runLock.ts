import { createHash, randomUUID } from 'node:crypto';
import { link, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { LxmertError, isLxmertError } from '../errors.js';
import { temporaryBeside, temporaryPrefix, writeFileAtomic, writeFileDurable } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';

/** Who holds a run folder, as `run.lock` says. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the lock was taken, for people. */
  readonly since: string;
  /** Tells a process from a later one with the same number; absent where the system does not say. */
  readonly process?: string;
}

export const lockName = 'run.lock';

/** Rounds before giving up; another process needs milliseconds to take over. */
const mostTries = 200;

/** A run folder held by this process, so that no other writes into it. */
export class RunLock {
  readonly #path: string;
  readonly #text: string;

  private constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
  }

  /**
   * Takes the lock of a folder, also from a process that has died.
   * @throws RUN_FOLDER naming the process that holds it; FILE_ACCESS
   */
  static async take(folder: string): Promise<RunLock> {
    const path = join(folder, lockName);
    const started = await processStart(process.pid);
    const holder: Holder = {
      pid: process.pid,
      host: hostname(),
      since: new Date().toISOString(),
      ...(started === undefined ? {} : { process: started }),
    };
    // No two locks have the same text, not even of one process.
    const text = `${JSON.stringify({ ...holder, id: randomUUID() })}\n`;
    try {
      await takeFile(path, text, folder);
    } catch (error) {
      throw fileError(error, 'lock', folder);
    }
    return new RunLock(path, text);
  }

  /** @throws RUN_FOLDER when the lock was removed or taken from this process */
  async check(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text !== this.#text)
      throw new LxmertError(
        'RUN_FOLDER',
        `${this.#path} was ${text === undefined ? 'removed' : 'taken by another process'}; this run stops`,
      );
  }

  /** Gives the folder back. */
  async release(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === this.#text) await rm(this.#path, { force: true });
  }
}

/**
 * Makes `path` hold `text`, if no living process has it. A stale one is replaced under a second lock, whose name comes
 * from the stale text: of all who judged that text, one replaces it, and only while it is still there. That lock may go
 * stale in turn, and is then treated alike.
 */
async function takeFile(path: string, text: string, folder: string): Promise<void> {
  for (let tries = 0; tries < mostTries; tries++) {
    if (await created(path, text)) return;
    const old = await readText(path);
    if (old === undefined) continue;
    await demandStale(old, path, folder);
    const claim = join(dirname(path), `${temporaryPrefix}${lockName}-${sha256(old)}`);
    try {
      await takeFile(claim, text, folder);
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      // Another process is at it, and will have the lock in a moment.
      await new Promise((done) => setTimeout(done, 10));
      continue;
    }
    try {
      if ((await readText(path)) === old) return await writeFileAtomic(path, text);
    } finally {
      await rm(claim, { force: true });
    }
  }
  throw new LxmertError('RUN_FOLDER', `${path} cannot be taken over; if no run uses ${folder}, remove it`);
}

/** Makes a file with its contents at once, so that nobody ever reads an empty lock; false when there is one already. */
async function created(path: string, text: string): Promise<boolean> {
  const mine = temporaryBeside(path);
  await writeFileDurable(mine, text);
  try {
    await link(mine, path);
    return true;
  } catch (error) {
    // ENOENT: the holder has cleared temporary files away, ours too.
    if (!['EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error;
    return false;
  } finally {
    await rm(mine, { force: true }).catch(() => undefined);
  }
}

/** @throws RUN_FOLDER when the process of a lock lives, or may live */
async function demandStale(text: string, path: string, folder: string): Promise<void> {
  const holder = parseHolder(text);
  if (holder && holder.host !== hostname())
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is in use by process ${holder.pid} on ${holder.host} since ${holder.since}; if that process is gone, remove ${path}`,
    );
  if (holder && (await lives(holder)))
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is in use by process ${holder.pid} since ${holder.since}; wait for it, stop it, or give another --out`,
    );
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined for what no lock of ours looks like: it cannot be alive. */
function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    return typeof value?.pid === 'number' && typeof value.host === 'string' ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}

async function lives(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false;
  }
  const started = await processStart(holder.pid);
  return holder.process === undefined || started === undefined || holder.process === started;
}

/** Boot and clock tick in which a process began, or `ended` (Linux); else undefined. */
async function processStart(pid: number): Promise<string | undefined> {
  try {
    const [boot, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // Field 22; the name in field 2 may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    // A zombie has ended; only its parent has not looked yet.
    return ticks === undefined || state === 'Z' ? 'ended' : `${boot.trim()} ${ticks}`;
  } catch {
    return undefined;
  }
}

import { createHash, randomUUID } from 'node:crypto';
import { link, open, readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { LxmertError, isLxmertError } from '../errors.js';
import {
  temporaryBeside,
  temporaryPrefix,
  writeFileAtomic,
  writeFileDurable,
  writeFully,
} from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { isRecord } from '../records.js';

/** The process that has the lock of a run folder, as the text of `run.lock` describes it. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the lock was taken, as text for the user. */
  readonly since: string;
  /**
   * The start of the process, which distinguishes it from a later process with the same number; absent if the system
   * does not give it.
   */
  readonly process?: string | undefined;
}

export const lockName = 'run.lock';

/** Times of the lock, in milliseconds. */
export interface LockTimes {
  /**
   * The time after which the holder rewrites its lock. The file's time of change shows other hosts that the holder is
   * still running.
   */
  readonly heartbeat: number;
  /** If a lock has not been rewritten for this time, another host may take it over. */
  readonly staleAfter: number;
}

/** A lock of another host is stale after 20 missed heartbeats, 10 minutes. docs/training.md states this time. */
export const lockTimes: LockTimes = { heartbeat: 30_000, staleAfter: 600_000 };

/** Number of attempts. Another process needs only milliseconds to take a lock over. */
const mostTries = 200;

/** The lock on a run folder, which keeps other processes from writing into it. */
export class RunLock {
  readonly #path: string;
  readonly #text: string;
  readonly #times: LockTimes;
  readonly #timer: NodeJS.Timeout;
  /** The last time (`performance.now()`) at which a check showed that this process has the lock. */
  #seen = performance.now();
  #beat: Promise<void> = Promise.resolve();

  private constructor(path: string, text: string, times: LockTimes) {
    this.#path = path;
    this.#text = text;
    this.#times = times;
    this.#timer = setInterval(() => {
      this.#beat = this.#beat.then(() => this.#rewrite());
    }, times.heartbeat);
    this.#timer.unref();
  }

  /**
   * Takes the lock of a folder. If the folder is locked, the lock is taken over if its process has ended, or if its
   * process is on another host and has not rewritten the lock for `staleAfter`.
   * @throws RUN_FOLDER naming the process that has the lock; FILE_ACCESS
   */
  static async take(folder: string, times: LockTimes = lockTimes): Promise<RunLock> {
    const path = join(folder, lockName);
    const holder: Holder = {
      pid: process.pid,
      host: hostname(),
      since: new Date().toISOString(),
      process: await processStart(process.pid),
    };
    // Because of the id, the texts of two locks differ, even the texts of two locks of one process.
    const text = `${JSON.stringify({ ...holder, id: randomUUID() })}\n`;
    try {
      await takeFile(path, { text, folder, staleAfter: times.staleAfter });
    } catch (error) {
      throw fileError(error, 'lock', folder);
    }
    return new RunLock(path, text, times);
  }

  /** @throws RUN_FOLDER when the lock was removed or taken over by another process */
  async check(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text !== this.#text)
      throw new LxmertError(
        'RUN_FOLDER',
        `${this.#path} was ${text === undefined ? 'removed' : 'taken by another process'}; this run stops`,
      );
    this.#seen = performance.now();
  }

  /**
   * Calls `check`, but only if heartbeats are late. A process that was suspended, or could not reach the disk, may have
   * lost its lock in that time. This function is fast enough to be called after every step.
   */
  async checkIfLate(): Promise<void> {
    if (performance.now() - this.#seen > this.#times.staleAfter / 2) await this.check();
  }

  /** Removes the lock. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beat;
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === this.#text) await rm(this.#path, { force: true });
  }

  /** Writes the same text again. The file server sets the time of change, so the clocks of the hosts may differ. */
  async #rewrite(): Promise<void> {
    try {
      // If another process replaces the file at this time, this handle still refers to the old file.
      const file = await open(this.#path, 'r+');
      try {
        if ((await file.readFile('utf8')) !== this.#text) return;
        await writeFully(file, Buffer.from(this.#text, 'utf8'), 0);
        this.#seen = performance.now();
      } finally {
        await file.close();
      }
    } catch {
      // An error here is ignored: the next heartbeat, or the check before the next checkpoint, will report the problem.
    }
  }
}

/** A lock to be made. */
interface Claim {
  readonly text: string;
  /** The run folder, for messages. */
  readonly folder: string;
  readonly staleAfter: number;
}

/**
 * Makes the lock file `path` with the text of the claim, unless a running process has this lock. To replace a stale
 * lock, a process first takes a second lock, whose name is a hash of the text of the stale lock. So only one process
 * replaces the stale lock, and only if the text of this lock has not changed. If the second lock becomes stale, too, it
 * is replaced in the same way.
 */
async function takeFile(path: string, claim: Claim): Promise<void> {
  for (let tries = 0; tries < mostTries; tries++) {
    const now = await created(path, claim.text);
    if (now === undefined) return;
    const old = await readLock(path);
    if (old === undefined) continue;
    await demandStale(old, now, path, claim);
    const second = join(dirname(path), `${temporaryPrefix}${lockName}-${sha256(old.text)}`);
    try {
      await takeFile(second, claim);
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      // Another process is replacing the lock at this moment.
      await new Promise((done) => setTimeout(done, 10));
      continue;
    }
    try {
      if ((await readLock(path))?.text === old.text) return await writeFileAtomic(path, claim.text);
    } finally {
      await rm(second, { force: true });
    }
  }
  throw new LxmertError('RUN_FOLDER', `${path} cannot be taken over; if no run uses ${claim.folder}, remove this file`);
}

/**
 * Makes a file with its contents in one operation, so that no process can read an empty lock.
 * @returns undefined if the file was made; otherwise the current time of the file server, in milliseconds
 */
async function created(path: string, text: string): Promise<number | undefined> {
  const mine = temporaryBeside(path);
  await writeFileDurable(mine, text);
  try {
    await link(mine, path);
    return undefined;
  } catch (error) {
    // ENOENT: the process that has the lock has removed all temporary files, including ours.
    if (!['EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error;
    return await stat(mine).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
  } finally {
    await rm(mine, { force: true }).catch(() => undefined);
  }
}

/** @throws RUN_FOLDER if the process of a lock is running, or may be running */
async function demandStale(lock: ReadLock, now: number, path: string, { folder, staleAfter }: Claim): Promise<void> {
  const holder = parseHolder(lock.text);
  if (!holder) return;
  const { pid, host, since } = holder;
  if (host !== hostname()) {
    const silent = now - lock.changed;
    if (silent > staleAfter) return;
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is in use by process ${pid} on ${host} since ${since}; if that process has ended, remove ${path}, ` +
        `or wait: the process last rewrote this file ${inWords(Math.max(0, silent))} ago, and after ${inWords(staleAfter)} ` +
        'without a rewrite another host may use the folder',
    );
  }
  if (await lives(holder))
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is in use by process ${pid} since ${since}; wait for it, stop it, or give another --out`,
    );
}

const inWords = (milliseconds: number): string => {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes`;
};

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

interface ReadLock {
  readonly text: string;
  /** Time of change by the file server's clock, in milliseconds. */
  readonly changed: number;
}

async function readLock(path: string): Promise<ReadLock | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { mtimeMs: changed } = await file.stat();
      return { text: await file.readFile('utf8'), changed };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Parses the text of a lock; undefined if no run wrote this text. Such a lock belongs to no process. */
function parseHolder(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value)) return undefined;
    const { pid, host, since, process: started } = value;
    if (typeof pid !== 'number' || typeof host !== 'string') return undefined;
    return { pid, host, since: String(since), process: typeof started === 'string' ? started : undefined };
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

/** The boot and the clock tick in which a process began, or `ended` (Linux); undefined on other systems. */
async function processStart(pid: number): Promise<string | undefined> {
  try {
    const [boot, text] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // The start time is field 22. The name in field 2 may contain spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    // A zombie is a process that has ended, but whose parent has not read its exit code yet.
    return ticks === undefined || state === 'Z' ? 'ended' : `${boot.trim()} ${ticks}`;
  } catch {
    return undefined;
  }
}

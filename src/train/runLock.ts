import { link, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { temporaryBeside, writeFileDurable } from '../formats/atomicFile.js';
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
    const mine = temporaryBeside(path);
    const started = await processStart(process.pid);
    const holder: Holder = {
      pid: process.pid,
      host: hostname(),
      since: new Date().toISOString(),
      ...(started === undefined ? {} : { process: started }),
    };
    const text = `${JSON.stringify(holder)}\n`;
    try {
      await writeFileDurable(mine, text);
      for (;;) {
        // A link appears with its contents, so nobody ever reads an empty lock.
        if (await linked(mine, path)) return new RunLock(path, text);
        await dropIfStale(path, folder);
      }
    } catch (error) {
      throw fileError(error, 'lock', folder);
    } finally {
      await rm(mine, { force: true }).catch(() => undefined);
    }
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

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a lock whose process is dead. @throws RUN_FOLDER when it lives, or may live */
async function dropIfStale(path: string, folder: string): Promise<void> {
  const text = await readText(path);
  if (text === undefined) return;
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
  // Moved aside first: what is removed is then surely what was judged, even if two processes get here at once.
  const aside = temporaryBeside(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await readText(aside)) !== text) await linked(aside, path);
  await rm(aside, { force: true });
}

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

import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint, root } from './paths.mjs';
import { say } from './process.mjs';

const WAIT_MS = 250;

/** Keyed by the checkout, and outside of it: it is needed before any folder of ours exists. */
const lockOf = (what) =>
  join(tmpdir(), `lxmert-${what}-${process.getuid?.() ?? 0}-${fingerprint([], [root]).slice(0, 16)}.lock`);

function take(lockPath) {
  try {
    const file = openSync(lockPath, 'wx');
    writeSync(file, identityOf(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Who holds the lock, as written by `identityOf`; '' when it was just released or is just being written. */
function holder(lockPath) {
  try {
    return readFileSync(lockPath, 'utf8');
  } catch {
    return '';
  }
}

/** A process's id and when it started, since ids are used again; '' when there is no such process. */
function identityOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return `${pid} ${fields[19]}`;
  } catch {
    return '';
  }
}

/**
 * Runs `work` while no other setup of this checkout runs (or what else is named): two at once would compile into each
 * other's files.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(work, what = 'setup') {
  const lockPath = lockOf(what);
  let told = false;
  while (!take(lockPath)) {
    const other = holder(lockPath);
    const pid = other.split(' ')[0];
    if (other !== '' && identityOf(pid) !== other) {
      rmSync(lockPath, { force: true });
      continue;
    }
    if (!told && other !== '') {
      say(`setup: waiting for another ${what} of this folder (process ${pid}) ...`);
      told = true;
    }
    await sleep(WAIT_MS);
  }
  const release = () => rmSync(lockPath, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.removeListener('exit', release);
    release();
  }
}

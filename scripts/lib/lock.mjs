import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint, root } from './paths.mjs';
import { say } from './process.mjs';

const WAIT_MS = 250;

/** Keyed by the checkout, and outside of it: it is needed before any folder of ours exists. */
const lockPath = join(tmpdir(), `lxmert-setup-${process.getuid?.() ?? 0}-${fingerprint([], [root]).slice(0, 16)}.lock`);

function take() {
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
function holder() {
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
 * Runs `work` while no other setup of this checkout runs: two at once would compile into each other's files.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(work) {
  let told = false;
  while (!take()) {
    const other = holder();
    const pid = other.split(' ')[0];
    if (other !== '' && identityOf(pid) !== other) {
      rmSync(lockPath, { force: true });
      continue;
    }
    if (!told && other !== '') {
      say(`setup: waiting for another setup of this folder (process ${pid}) ...`);
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

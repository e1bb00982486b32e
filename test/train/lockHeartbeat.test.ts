/** Tests the lock of another host: it is taken over if there has been no heartbeat for the documented time. */
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockName, lockTimes, RunLock } from '../../src/train/runLock.js';

let parent: string;
let folder: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'heartbeat-'));
});
beforeEach(async () => {
  folder = await mkdtemp(join(parent, 'run-'));
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const path = (): string => join(folder, lockName);

/** A lock of another host that was rewritten this number of milliseconds ago. */
async function foreignLock(age: number): Promise<void> {
  await writeFile(path(), JSON.stringify({ pid: 7, host: 'elsewhere', since: '2026-01-01T00:00:00Z' }));
  const at = (Date.now() - age) / 1000;
  await utimes(path(), at, at);
}

test('it is not taken over while its last rewrite is recent, and the message says how long to wait', async () => {
  await foreignLock(lockTimes.staleAfter / 2);
  await expect(RunLock.take(folder)).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringMatching(
      /process 7 on elsewhere since .*remove .*run\.lock, or wait: the process last rewrote this file 5 minutes ago, and after 10 minutes/,
    ),
  });
});

test('it is taken over by exactly one process after the stated time', async () => {
  await foreignLock(lockTimes.staleAfter + 5000);
  const taken = await Promise.allSettled(Array.from({ length: 10 }, () => RunLock.take(folder)));
  const locks = taken.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(locks).toHaveLength(1);
  expect(await readFile(path(), 'utf8')).toContain(hostname());
  await locks[0].check();
  await locks[0].release();
});

test('the holder rewrites its lock, and the text stays the same', async () => {
  const lock = await RunLock.take(folder, { heartbeat: 5, staleAfter: 1000 });
  const text = await readFile(path(), 'utf8');
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(path(), longAgo, longAgo);
  while ((await stat(path())).mtimeMs <= longAgo.getTime() + 1000) await new Promise((done) => setTimeout(done, 5));
  expect(await readFile(path(), 'utf8')).toBe(text);
  await lock.release();
});

test('a holder that was suspended finds that its lock was taken over, and does not remove it', async () => {
  const lock = await RunLock.take(folder, { heartbeat: 5, staleAfter: 0 });
  const other = JSON.stringify({ pid: 8, host: 'elsewhere', since: 'later' });
  await writeFile(path(), other);
  await expect(lock.checkIfLate()).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringContaining('taken by another process; this run stops'),
  });
  await lock.release();
  expect(await readFile(path(), 'utf8')).toBe(other);
});

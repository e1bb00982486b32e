import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunLock, lockName } from '../../src/train/runLock.js';

let parent: string;
let folder: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'lock-'));
});
beforeEach(async () => {
  folder = await mkdtemp(join(parent, 'run-'));
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const holder = (value: object) =>
  writeFile(join(folder, lockName), JSON.stringify({ pid: process.pid, host: hostname(), since: 'then', ...value }));

test('only one process has the lock at a time, and the lock is free after its release', async () => {
  const lock = await RunLock.take(folder);
  await lock.check();
  await expect(RunLock.take(folder)).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringContaining(`in use by process ${process.pid} since`),
  });
  await lock.release();
  expect(await readdir(folder)).toEqual([]);
  await (await RunLock.take(folder)).release();
});

test('of many processes that try at the same time, exactly one gets the lock', async () => {
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => RunLock.take(folder)));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(await readdir(folder)).toEqual([lockName]);
});

test('the lock of a dead process is taken over', async () => {
  // The number of an ended process may belong to a new process; this number is above the largest possible one.
  await holder({ pid: 2 ** 31 - 1 });
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => RunLock.take(folder)));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('the lock of an earlier process with the same number is taken over', async () => {
  await holder({ process: 'another-boot 123' });
  // If the system does not give the start time of a process, only its number counts.
  if (process.platform === 'linux') await (await RunLock.take(folder)).release();
  else await expect(RunLock.take(folder)).rejects.toMatchObject({ code: 'RUN_FOLDER' });
});

test.each(['', '{', 'null', '{"pid":"x"}'])('a lock that no run wrote is taken over: %j', async (text) => {
  await writeFile(join(folder, lockName), text);
  await (await RunLock.take(folder)).release();
});

test('the lock of another host is not taken over, and the message names the host', async () => {
  await holder({ host: 'elsewhere', pid: 7 });
  await expect(RunLock.take(folder)).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringMatching(/process 7 on elsewhere since then; if that process has ended, remove .*run\.lock/),
  });
});

test('a holder finds that it has lost its lock, and does not release the lock of the new holder', async () => {
  const lock = await RunLock.take(folder);
  await holder({ since: 'later' });
  await expect(lock.check()).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringContaining('taken by'),
  });
  await lock.release();
  expect(await readFile(join(folder, lockName), 'utf8')).toContain('later');
  await rm(join(folder, lockName));
  await expect(lock.check()).rejects.toMatchObject({ message: expect.stringContaining('removed') });
});

test('the error for a missing folder names the folder', async () => {
  await expect(RunLock.take(join(folder, 'gone'))).rejects.toMatchObject({
    code: 'FILE_MISSING',
    message: expect.stringContaining('gone'),
  });
});

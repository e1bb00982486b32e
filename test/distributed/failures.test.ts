/** Tests ranks that are killed, that hang, or whose settings differ. Each rank is a separate process. */
import { cp, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RunningProcess } from '../train/support/compile.js';
import { RankRuns, told } from './support.js';

let runs: RankRuns;
beforeAll(async () => {
  runs = await RankRuns.make();
});
afterAll(() => runs.remove());

const errorsOf = (all: readonly RunningProcess[]): string[] =>
  all.flatMap(({ errors }) => errors.split('\n').filter((line) => line.startsWith('lxmert:')));
const saved = (out: string): Promise<string[]> => readdir(join(out, 'checkpoints'));

test.each([0, 1])('rank %i is killed: the others end with one message, and the checkpoint stays', async (victim) => {
  const out = runs.fresh();
  const all = await runs.startEach(3, runs.flags(out, '--save-every', '1', '--rank-timeout', '60'));
  await told(all[0], /saved .*step-/);
  all[victim].kill('SIGKILL');
  const codes = await Promise.all(all.map(({ ended }) => ended));
  expect(codes.filter((_, rank) => rank !== victim)).toEqual([1, 1]);
  expect(errorsOf(all)).toEqual([
    expect.stringMatching(new RegExp(`^lxmert: rank ${victim} \\(.+\\) is gone: its process ended`)),
  ]);
  expect(await saved(out)).toContain('last');
});

test('a rank hangs: the others end with one message, in bounded time', async () => {
  const out = runs.fresh();
  const all = await runs.startEach(3, runs.flags(out, '--rank-timeout', '2'));
  await told(all[0], /step \d+\//);
  all[2].kill('SIGSTOP');
  expect(await Promise.all([all[0].ended, all[1].ended])).toEqual([1, 1]);
  all[2].kill('SIGKILL');
  await all[2].ended;
  expect(errorsOf(all)).toEqual([expect.stringMatching(/^lxmert: rank 2 \(.+\) does not answer for 2 s: it hangs/)]);
});

test('our launcher ends all ranks of which one was killed, and starts them again where that is wanted', async () => {
  const out = runs.fresh();
  const flags = runs.flags(out, '--save-every', '1', '--gradient-parts', '2', '--max-steps', '1000000');
  const run = runs.start([...flags, '--ranks', '2', '--restarts', '1', '--min-ranks', '1']);
  await told(run, /saved .*step-/);
  const lock = JSON.parse(await readFile(join(out, 'run.lock'), 'utf8')) as { readonly pid: number };
  process.kill(lock.pid, 'SIGKILL');
  await told(run, /restarting it with 1 rank \(restart 1 of 1\)/);
  await told(run, /restarting it with 1 rank[^]*saved .*step-/);
  run.kill('SIGTERM');
  expect(await run.ended).toBe(143);
});

test('ranks with other settings are refused, naming them; nothing is written', async () => {
  const out = runs.fresh();
  const all = await runs.startEach(2, runs.flags(out, '--max-steps', '2'), { 1: ['--lr', '2e-4', '--seed', '5'] });
  expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([2, 1]);
  expect(all[0].errors).toMatch(/the ranks do not agree[^]*--lr: 0\.0002 on rank 1[^]*--seed: 5 on rank 1/);
  expect(all[0].errors).toMatch(/checksum of the initial weights/);
  expect(all[1].errors).toBe('');
  expect(await readdir(out)).toEqual([]);
});

test('data that one rank cannot open end all ranks, with its message', async () => {
  const out = runs.fresh();
  const all = await runs.startEach(2, runs.flags(out, '--max-steps', '2'), {
    1: ['--data', join(runs.folder, 'nowhere')],
  });
  expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([1, 1]);
  expect(errorsOf(all)).toEqual([expect.stringMatching(/^lxmert: rank 1 \(.+\): .*nowhere: there is no such file/)]);
});

test('features that become unreadable on one rank end all ranks, with its message; the checkpoint stays', async () => {
  const out = runs.fresh();
  // A store, because a TSV of this size is read once, at the start.
  const [shared, own] = [join(runs.folder, 'stored'), join(runs.folder, 'own-copy')];
  await cp(join(runs.folder, 'scenes'), shared, { recursive: true });
  const store = join(shared, 'train.store');
  const description = await readFile(join(shared, 'data.yaml'), 'utf8');
  const labels = (kind: string): string => new RegExp(`${kind}Labels: (\\d+)`).exec(description)![1];
  const classes = ['--classes', labels('object'), '--attributes', labels('attribute')];
  const from = join(shared, 'train.tsv');
  expect(await runs.start(['features', 'import', from, '--out', store, ...classes]).ended).toBe(0);
  await writeFile(join(shared, 'data.yaml'), description.replace('train.tsv', 'train.store'));
  await cp(shared, own, { recursive: true });
  const all = await runs.startEach(2, runs.flags(out, '--data', shared, '--save-every', '1'), { 1: ['--data', own] });
  await told(all[0], /saved .*step-/);
  await truncate(join(own, 'train.store', 'shard-00000.safetensors'), 1000);
  expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([1, 1]);
  expect(errorsOf(all)).toEqual([expect.stringMatching(/^lxmert: rank 1 \(.+\): .*shard-00000\.safetensors.*: /)]);
  expect(await saved(out)).toContain('last');
});

test('a loss that is not finite stops all ranks before the update, with one message that names rank and sample', async () => {
  const out = runs.fresh();
  const all = await runs.startEach(2, runs.flags(out, '--initializer-range', '1e30', '--max-steps', '3'));
  expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([1, 1]);
  expect(errorsOf(all)).toEqual([expect.stringMatching(/^lxmert: step 1: .* is not.* \(rank 0 \(.+\)\)/)]);
});

test('a disk without room for the next checkpoint ends all ranks, and the checkpoint before it stays whole', async () => {
  const out = runs.fresh();
  const flags = runs.flags(out, '--max-steps', '1000', '--save-every', '1', '--shard-optimizer');
  const stopped = await runs.startEach(2, flags);
  await told(stopped[0], /saved .*step-00000001/);
  stopped[1].kill('SIGKILL');
  await Promise.all(stopped.map(({ ended }) => ended));
  const before = await saved(out);
  // No file of rank 0 may grow beyond 200 blocks of 512 bytes; a checkpoint is larger.
  const limited = ['sh', '-c', 'trap "" XFSZ; ulimit -f 200; exec "$@"', 'sh'];
  const all = await runs.startEach(2, [...flags, '--resume'], {}, { 0: limited });
  const codes = await Promise.all(all.map(({ ended }) => ended));
  expect(codes).toEqual([1, 1]);
  expect(errorsOf(all)).toEqual([
    expect.stringMatching(
      /^lxmert: rank 0 \(.+\): the checkpoint of step \d was not saved \(the one of step \d is unchanged\)/,
    ),
  ]);
  expect(await saved(out)).toEqual(before);
  const last = runs.start(['pretrain', '--out', out, '--resume', '--ranks', '1']);
  await told(last, /continues after step [^]*saved /);
  last.kill('SIGTERM');
  expect(await last.ended).toBe(143);
});

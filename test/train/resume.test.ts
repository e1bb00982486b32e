import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildRequest } from './support/child.js';
import { CompiledCopy } from './support/compile.js';
import type { RunningProcess } from './support/compile.js';
import { metricsOf, newestFiles, shortRun } from './support/runs.js';

let copy: CompiledCopy;
let folder: string;
beforeAll(async () => {
  copy = await CompiledCopy.make();
  folder = await mkdtemp(join(tmpdir(), 'resume-'));
});
afterAll(async () => {
  await copy.remove();
  await rm(folder, { recursive: true, force: true });
});

interface ChildOptions extends Partial<ChildRequest> {
  readonly wrapper?: readonly string[];
}

function start(out: string, { flags, wrapper = [], ...rest }: ChildOptions = {}): RunningProcess {
  const request: ChildRequest = { ...rest, flags: { ...shortRun(out), ...flags } };
  return copy.start('test/train/support/child.js', [JSON.stringify(request)], wrapper);
}

/** Fake parts that are so slow that a kill can hit any stage of the run. */
const slow: ChildOptions = { fake: { delay: 8, ballast: 20_000 } };

/** A run that is killed after it has printed a line that matches. */
async function killAt(line: string, out: string, options = slow): Promise<RunningProcess> {
  const run = start(out, { ...options, kill: { at: line } });
  expect(await run.ended).toBe('SIGKILL');
  return run;
}

test('a run that is killed several times gives the same result as a run without a kill', async () => {
  const straight = join(folder, 'straight');
  expect(await start(straight, { fake: { ballast: 20_000 } }).ended).toBe(0);
  const killed = join(folder, 'killed');
  let kills = 0;
  for (let done = 0; ; kills++) {
    // The run is killed after 1 … 12 steps, at any time during the next step, a validation or a save.
    const at = `step ${done + 1 + Math.floor(Math.random() * 12)}`;
    const run = start(killed, { ...slow, resume: true, kill: { at, after: Math.random() * 15 } });
    const how = await run.ended;
    if (how === 0) break;
    expect({ how, last: run.lines.at(-1), errors: run.errors }).toMatchObject({ how: 'SIGKILL', errors: '' });
    done = Number(run.lines.findLast((line) => line.startsWith('saved '))?.split(' ')[1] ?? done);
    if (kills > 40) throw new Error('the run does not get on');
  }
  expect(kills).toBeGreaterThan(0);
  expect(await metricsOf(killed)).toEqual(await metricsOf(straight));
  expect(await newestFiles(killed)).toEqual(await newestFiles(straight));
});

test('a run killed after its last checkpoint runs the missing validation on resume, and is then finished', async () => {
  const out = join(folder, 'last-moment');
  await killAt('saved 23', out);
  const again = start(out, { ...slow, resume: true });
  expect(await again.ended).toBe(0);
  expect(again.lines).toEqual(['started 23', 'done 23 true']);
  const validations = (await metricsOf(out)).filter(({ split }) => split === 'valid');
  expect(validations.map(({ step }) => step)).toEqual([4, 8, 12, 16, 20, 23]);
  const third = start(out, { resume: true });
  expect(await third.ended).toBe(0);
  expect(third.lines).toEqual([`note ${out} is finished: all 23 steps are done`, 'done 23 true']);
});

test('on resume, lines after the checkpoint are cut off, also an incomplete line', async () => {
  const out = join(folder, 'torn');
  await killAt('step 9', out);
  await appendFile(join(out, 'metrics.jsonl'), '{"step":10,"epo');
  expect(await start(out, { resume: true, fake: { ballast: 20_000 } }).ended).toBe(0);
  const steps = (await metricsOf(out)).filter((record) => !('split' in record)).map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
});

test('after SIGTERM the run saves and ends; until then a second run cannot use the folder', async () => {
  const out = join(folder, 'term');
  // The first run cannot end before the signal, even if the second run starts late.
  const run = start(out, { heldStep: 4 });
  await run.line(/^step 2$/);
  const other = start(out, { resume: true });
  expect(await other.ended).toBe(1);
  expect(other.lines.at(-1)).toMatch(
    new RegExp(`^error RUN_FOLDER ${out} is in use by process ${run.child.pid} since`),
  );
  run.kill('SIGTERM');
  expect(await run.ended).toBe(0);
  const step = Number(/^done (\d+) false$/.exec(run.lines.at(-1)!)![1]);
  expect(run.lines).toContain(`saved ${step}`);
  const rest = start(out, { resume: true });
  expect(await rest.ended).toBe(0);
  expect(rest.lines).toContain(`started ${step}`);
});

test('if the disk is full while saving, the error says so, the previous checkpoint is complete, and the run continues when there is space', async () => {
  const out = join(folder, 'full');
  const small = { fake: { ballast: 5000 } };
  await killAt('saved 6', out, { ...small, flags: { 'valid-every': '100' } });
  // The limit of 8 KiB for each file lets the run write its settings and metrics, but not the next checkpoint of 20 KB.
  const limited = ['sh', '-c', 'trap "" XFSZ; ulimit -f 16; exec "$@"', 'sh'];
  const metrics = join(out, 'metrics.jsonl');
  const before = (await stat(metrics)).size;
  const run = start(out, { ...small, resume: true, wrapper: limited, flags: { 'valid-every': '100' } });
  expect(await run.ended).toBe(1);
  expect(run.lines.at(-1)).toMatch(/^error FILE_ACCESS .*checkpoints.*larger than the system allows/);
  expect(before).toBeGreaterThan(0);
  const rest = start(out, { ...small, resume: true, flags: { 'valid-every': '100' } });
  expect(await rest.ended).toBe(0);
  const straight = join(folder, 'not-full');
  expect(await start(straight, { ...small, flags: { 'valid-every': '100' } }).ended).toBe(0);
  expect(await metricsOf(out)).toEqual(await metricsOf(straight));
  expect(await newestFiles(out)).toEqual(await newestFiles(straight));
});

test('a run can start although a killed run has left its lock and a temporary file', async () => {
  const out = join(folder, 'stale');
  const run = await killAt('saved 6', out);
  expect(await readFile(join(out, 'run.lock'), 'utf8')).toContain(`"pid":${run.child.pid}`);
  await writeFile(join(out, '.tmp-left-over'), 'x');
  const rest = start(out, { resume: true, fake: { ballast: 20_000 } });
  expect(await rest.ended).toBe(0);
  await expect(stat(join(out, '.tmp-left-over'))).rejects.toThrow();
  await expect(stat(join(out, 'run.lock'))).rejects.toThrow();
});

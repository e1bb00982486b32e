/** Tests signals to a run, and runs whose npm has ended after it started them. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeScenes } from '../../src/scenes/index.js';
import { CompiledCopy, RunningProcess } from '../train/support/compile.js';

let folder: string;
let copy: CompiledCopy;
let serial = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signals-'));
  copy = await CompiledCopy.make();
  await writeScenes({ out: join(folder, 'scenes'), images: 12, featureDim: 16, pictures: 0 });
});
afterAll(async () => {
  await copy.remove();
  await rm(folder, { recursive: true, force: true });
});

/** Flags of a run that continues until a signal ends it, unless it has a number of steps. */
function flagsOf(out: string, ...more: string[]): string[] {
  const model = ['--hidden-size', '32', '--num-attention-heads', '2', '--intermediate-size', '32'];
  const run = ['--preset', 'tiny', '--threads', '1', '--device', 'cpu', '--batch-size', '4', '--valid', 'none'];
  const length = more.includes('--max-steps') ? [] : ['--max-steps', '1000000'];
  const data = ['--data', join(folder, 'scenes'), '--out', out, '--save-every', '1000000'];
  return ['pretrain', ...data, ...run, ...model, ...length, ...more];
}

const start = (out: string, ...more: string[]): RunningProcess => copy.start('src/cli/main.js', flagsOf(out, ...more));

/** Waits until the process has written a text to stderr. */
async function told(run: RunningProcess, text: RegExp): Promise<void> {
  while (!text.test(run.errors)) {
    if (run.child.exitCode !== null || run.child.signalCode !== null)
      throw new Error(`it ended without ${text}: ${run.errors}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

const fresh = (): string => join(folder, `run-${serial++}`);
const saved = async (out: string): Promise<string[]> => readdir(join(out, 'checkpoints'));

test('SIGHUP saves and ends the run, with exit code 129', async () => {
  const out = fresh();
  const run = start(out);
  await told(run, /step \d+\//);
  run.kill('SIGHUP');
  expect(await run.ended).toBe(129);
  expect(run.errors).toContain('SIGHUP: stops after this step and saves');
  expect(await saved(out)).toContain('last');
  expect(await readdir(out)).not.toContain('run.lock');
});

test('with --ignore-hangup the run continues after SIGHUP, and SIGTERM still ends it', async () => {
  const out = fresh();
  const run = start(out, '--ignore-hangup');
  await told(run, /step \d+\//);
  run.kill('SIGHUP');
  await told(run, /SIGHUP: continues \(--ignore-hangup\)/);
  run.kill('SIGTERM');
  expect(await run.ended).toBe(143);
  expect(await saved(out)).toContain('last');
});

test.each(['SIGUSR1', 'SIGUSR2'] as const)('%s saves, and the run continues; no debugger listens', async (signal) => {
  const out = fresh();
  const run = start(out);
  await told(run, /step \d+\//);
  run.kill(signal);
  await told(run, /saved .*step-/);
  expect(run.errors).toContain(`${signal}: saves after this step, and continues`);
  expect(run.child.exitCode).toBeNull();
  run.kill('SIGTERM');
  expect(await run.ended).toBe(143);
  expect(run.errors).not.toMatch(/[Dd]ebugger listening/);
});

test('a command that does not train ignores SIGUSR1: no debugger listens', async () => {
  const code = "process.kill(process.pid, 'SIGUSR1'); setTimeout(() => process.exit(0), 300);";
  const program = join(folder, 'other.mjs');
  await writeFile(program, `import ${JSON.stringify(join(copy.folder, 'src/cli/ignoreUserSignals.js'))};\n${code}\n`);
  const child = new RunningProcess(spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] }));
  expect(await child.ended).toBe(0);
  expect(child.errors).toBe('');
});

/** A program that starts a command through a shell which waits for it, as npm does if /bin/sh is dash. */
const npm = `
import { spawn } from 'node:child_process';
const [, , ...words] = process.argv;
const line = words.map((word) => "'" + word + "'").join(' ') + '; exit $?';
spawn('/bin/sh', ['-c', line], { stdio: 'inherit', env: { ...process.env, npm_command: 'exec' } });
`;

const linux = process.platform === 'linux' ? test : test.skip;

linux.each(['SIGKILL', 'SIGTERM'] as const)('a run whose npx was ended by %s saves and ends', async (signal) => {
  const out = fresh();
  const program = join(folder, 'npx');
  await writeFile(program, npm);
  const main = join(copy.folder, 'src/cli/main.js');
  const parent = new RunningProcess(
    spawn(process.execPath, ['--input-type=module', '-e', npm, program, process.execPath, main, ...flagsOf(out)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      argv0: program,
    }),
  );
  await told(parent, /step \d+\//);
  parent.kill(signal);
  // The run has the same pipes, so they close when it has ended.
  await parent.ended;
  expect(parent.errors).toContain(
    'npm, which started this run, has ended (like SIGTERM): stops after this step and saves',
  );
  expect(await saved(out)).toContain('last');
  expect(await readdir(out)).not.toContain('run.lock');
});

linux('a run that was not started by npm outlives its parent', async () => {
  const out = fresh();
  const line = [process.execPath, join(copy.folder, 'src/cli/main.js'), ...flagsOf(out, '--max-steps', '60')];
  const log = join(folder, 'log');
  const shell = spawn('/bin/sh', ['-c', `${line.map((word) => `'${word}'`).join(' ')} > '${log}' 2>&1 & exit 0`], {
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'))),
  });
  await new Promise((done) => shell.on('close', done));
  while (!(await readFile(log, 'utf8')).includes('Checkpoint:')) await new Promise((done) => setTimeout(done, 20));
  expect(await readFile(log, 'utf8')).toContain('All 60 steps are done.');
});

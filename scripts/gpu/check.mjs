// The program of scripts/gpu-check.sh: runs stages by name, each with a deadline, in a clone or in a bundle.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stages } from './stages.mjs';
import { runTimed, textOf } from './timed.mjs';

const app = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const isClone = existsSync(join(app, 'src'));

const USAGE = `gpu-check.sh [STAGE ...] [--out FOLDER] [--seconds N] [--tiny]

${Object.entries(stages)
  .map(([name, { says, seconds }]) => `  ${name.padEnd(9)} ${says} (${seconds} s at most)`)
  .join('\n')}

Without a stage: right. --out: where summary.json and logs.tar.gz go, gpu-check by default; a summary that is there keeps its
other stages. --seconds: the deadline of each stage. --tiny: small shapes, to try the check itself.
PEER_PYTHON names a Python with PyTorch. Exit code 0 when all of it ran and was right, else 1.
`;

const say = (line) => process.stdout.write(`${line}\n`);
const onPath = (name) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder && existsSync(join(folder, name)));
const succeeds = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

function parse() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        out: { type: 'string', default: 'gpu-check' },
        seconds: { type: 'string' },
        tiny: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const unknown = positionals.filter((name) => !(name in stages));
    if (unknown.length > 0)
      throw new Error(`there is no stage ${unknown.join(', ')}: they are ${Object.keys(stages).join(', ')}`);
    if (values.seconds !== undefined && !(Number(values.seconds) > 0))
      throw new Error('--seconds must be a number above 0');
    return { ...values, names: positionals.length > 0 ? positionals : ['right'] };
  } catch (error) {
    process.stderr.write(`gpu-check: ${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** The path of a bundle's libraries, for programs that are linked with them. */
function programEnvironment() {
  const libraries = process.env.LXMERT_BUNDLE_LIBRARIES;
  if (libraries === undefined) return process.env;
  const outer = process.env.LD_LIBRARY_PATH;
  return { ...process.env, LD_LIBRARY_PATH: outer ? `${libraries}:${outer}` : libraries };
}

function lxmertCommand() {
  if (process.env.GPU_CHECK_LXMERT) return [process.env.GPU_CHECK_LXMERT];
  return isClone ? [process.execPath, join(app, 'dist', 'cli', 'main.js')] : [join(dirname(app), 'lxmert')];
}

function countGpus() {
  const { stdout } = spawnSync('nvidia-smi', ['--query-gpu=name', '--format=csv,noheader'], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter(Boolean).length;
}

/** Describes the device by the reports of lxmert and of the driver. */
function describeDevice(lxmert) {
  const driver = spawnSync(
    'nvidia-smi',
    ['--query-gpu=name,driver_version,memory.total,compute_cap', '--format=csv,noheader'],
    {
      encoding: 'utf8',
    },
  );
  const told = spawnSync(lxmert[0], [...lxmert.slice(1), 'doctor', '--json'], { encoding: 'utf8' });
  let seen = { missing: told.error?.message ?? told.stderr.trim() };
  try {
    seen = JSON.parse(told.stdout).cuda;
  } catch {
    // the message is in `missing`
  }
  const gpus = driver.status === 0 ? driver.stdout.trim().split('\n') : [];
  return { gpus, device: seen.device, missing: seen.missing };
}

/** Notes of the engine that count as failures, such as a failed capture: the results are then right, but slow. */
const NOTE = /^.*steps run op by op.*$/m;

/** Runs one step and gives its line of the summary. */
async function runStep(step, context, deadline) {
  if (step.leftOut) return { leftOut: step.leftOut };
  if (step.missing) return { missing: step.missing };
  const log = join(context.out, `${step.name}.log`);
  rmSync(log, { force: true });
  const start = performance.now();
  const result = (rest) => ({ ...rest, seconds: Math.round((performance.now() - start) / 100) / 10 });
  // An emulated device is slow, so on it only the stage has a deadline, not the step.
  const until = context.tiny ? deadline : Math.min(deadline, start + step.seconds * 1000);
  if (until - start < 1000) return { outOfTime: true, seconds: 0 };
  for (const item of step.commands) {
    const { command, stdout } = Array.isArray(item) ? { command: item } : item;
    const seconds = Math.max(0.1, (until - performance.now()) / 1000);
    const ended = await runTimed(command, { log, seconds, stdout, env: context.environmentOf(command) });
    if (ended.outOfTime) return result({ outOfTime: true });
    if (ended.problem !== '') return result({ ok: false, problem: `${ended.problem}, see ${basename(log)}` });
  }
  const note = NOTE.exec(textOf(log))?.[0];
  if (note) return result({ ok: false, problem: note.trim() });
  try {
    const { problem, figures } = step.judge?.() ?? {};
    return result({ ok: problem === undefined, problem, figures });
  } catch (error) {
    return result({ ok: false, problem: `no result: ${error.message}` });
  }
}

function lineOf({ ok, leftOut, missing, outOfTime, problem, seconds, figures }) {
  const numbers = figures
    ? `: ${Object.entries(figures)
        .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`)
        .join(', ')}`
    : '';
  if (leftOut) return `left out: ${leftOut}`;
  if (missing) return `MISSING: ${missing}`;
  if (outOfTime) return `out of time after ${seconds} s`;
  return ok ? `ok in ${seconds} s${numbers}` : `FAILED in ${seconds} s: ${problem}${numbers}`;
}

async function runStage(name, context, seconds) {
  const start = performance.now();
  const limit = Number(seconds ?? stages[name].seconds);
  say(`== ${name}, ${limit} s at most`);
  const steps = {};
  for (const step of stages[name].steps(context)) {
    steps[step.name] = await runStep(step, context, start + limit * 1000);
    say(`${step.name.padEnd(24)} ${lineOf(steps[step.name])}`);
  }
  const all = Object.values(steps);
  const failed = all.some(({ ok }) => ok === false);
  const verdict = failed ? 'failed' : all.every(({ ok, leftOut }) => ok || leftOut) ? 'ok' : 'incomplete';
  say(`== ${name}: ${verdict}`);
  return { verdict, limit, seconds: Math.round((performance.now() - start) / 100) / 10, steps };
}

function previous(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}

const options = parse();
if (options.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const out = resolve(options.out);
const logs = join(out, 'logs');
mkdirSync(logs, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'lxmert-gpu-check-'));
try {
  const lxmert = lxmertCommand();
  const python = process.env.PEER_PYTHON ?? 'python3';
  const needsPeer = options.names.includes('fast') && !options.tiny;
  const hasPeer = needsPeer && succeeds(python, ['-c', 'import torch, transformers; assert torch.cuda.is_available()']);
  const programs = process.env.GPU_CHECK_PROGRAMS || join(app, 'build-cuda', 'programs');
  const context = {
    ...{ lxmert, scratch, out: logs, tiny: options.tiny, onPath, programs, gpus: countGpus() },
    clone: isClone ? app : undefined,
    peer: hasPeer ? python : undefined,
    fixtures: isClone ? join(app, 'test', 'fixtures') : join(app, 'fixtures'),
    bench: join(app, 'bench'),
    environmentOf: (command) =>
      command.some((word) => dirname(word) === programs) ? programEnvironment() : process.env,
  };
  const summaryPath = join(out, 'summary.json');
  const before = previous(summaryPath);
  const ran = {};
  let machine = {};
  const tellDevice = () => {
    machine = describeDevice(lxmert);
    say(machine.device ?? `no device: ${machine.missing}`);
  };
  if (!options.names.includes('build')) tellDevice();
  for (const name of options.names) {
    ran[name] = { at: new Date().toISOString(), ...(await runStage(name, context, options.seconds)) };
    if (name === 'build') tellDevice();
    const summary = { ...machine, host: process.version, stages: { ...before.stages, ...ran } };
    // The summary is written after each stage, so that finished stages are not lost if the machine is shut down.
    writeFileSync(summaryPath, `${JSON.stringify(summary, null, 2)}\n`);
    const packed = spawnSync('tar', ['-czf', join(out, 'logs.tar.gz'), '-C', out, 'logs'], { encoding: 'utf8' });
    if (packed.status !== 0)
      say(`the logs are not packed: ${packed.error?.message ?? packed.stderr.trim()}; they are in ${logs}`);
  }
  say(`${summaryPath}\n${join(out, 'logs.tar.gz')}`);
  process.exitCode = Object.values(ran).every(({ verdict }) => verdict === 'ok') ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

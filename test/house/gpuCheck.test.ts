import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

/** Tests order, deadlines and summary of scripts/gpu-check.sh with fake programs that compute nothing. */
const script = fileURLToPath(new URL('../../scripts/gpu-check.sh', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-gpu-check-'));
  for (const part of ['bin', 'programs', 'out']) mkdirSync(join(folder, part));
  program('bin/nvidia-smi', 'echo "Stand-in GPU, 1, 2 MiB, 9.0"');
  program('bin/compute-sanitizer', 'exit 0');
  program('bin/python3', 'exit 1');
  for (const name of ['kernels', 'step', 'instructions']) program(`programs/${name}`, 'echo ok');
  lxmert();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(path: string, text: string): void {
  writeFileSync(join(folder, path), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
}

/** Writes a fake `lxmert`, which prints the given losses of a step for each device. */
function lxmert({ cuda = 2.00001, parity = ':', bench = ':' } = {}): void {
  program(
    'bin/lxmert',
    `out() { while (($#)); do [[ $1 == --out ]] && echo "$2"; shift; done; }
case "$1 $2" in
  doctor*) echo '{"cuda": {"device": "stand-in"}}' ;;
  parity*) ${parity} ;;
  pretrain*)
    mkdir -p "$(out "$@")"
    [[ $* == *"--device cpu"* ]] && loss=2 || loss=${cuda}
    echo "{\\"step\\": 1, \\"loss\\": $loss}" >"$(out "$@")/metrics.jsonl" ;;
  'bench step')
    [[ $* == *--ranks* ]] &&
      echo '{"shared": {"samplesPerSecond": 1900}, "efficiency": 0.95, "communication": {"notHidden": 0.1}}' && exit
    ${bench}; echo '{"stepMilliseconds": {"median": 18.5}, "samplesPerSecond": 1000}' ;;
esac`,
  );
}

interface Step {
  readonly ok?: boolean;
  readonly problem?: string;
  readonly leftOut?: string;
  readonly missing?: string;
  readonly outOfTime?: boolean;
  readonly figures?: Readonly<Record<string, number>>;
}
interface Summary {
  readonly device: string;
  readonly gpus: readonly string[];
  readonly stages: Readonly<Record<string, { verdict: string; steps: Readonly<Record<string, Step>> }>>;
}

function check(args: readonly string[]): { status: number | null; stdout: string; stderr: string; summary: Summary } {
  const out = join(folder, 'out');
  const { status, stdout, stderr } = spawnSync('sh', [script, ...args, '--out', out], {
    env: {
      PATH: `${folder}/bin:${process.env['PATH']}`,
      GPU_CHECK_LXMERT: join(folder, 'bin/lxmert'),
      GPU_CHECK_PROGRAMS: join(folder, 'programs'),
    },
    encoding: 'utf8',
  });
  const path = join(out, 'summary.json');
  const summary = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  return { status, stdout, stderr, summary: summary as Summary };
}

const rightSteps = [
  'kernels',
  'step',
  ...['head32', 'tiny'].flatMap((name) => [`parity-${name}-float32`, `parity-${name}-bfloat16`]),
  'losses',
  'instructions',
];

test('the stage `right` runs the most important checks first, and writes two result files', () => {
  const { status, stdout, summary } = check([]);
  expect(stdout).toMatch(/^stand-in\n== right, 240 s at most\n/);
  const { verdict, steps } = summary.stages['right'];
  expect(Object.keys(steps)).toEqual(rightSteps);
  for (const name of rightSteps) expect([name, steps[name]]).toEqual([name, expect.objectContaining({ ok: true })]);
  expect(steps['losses'].figures).toMatchObject({ steps: 1, tolerance: 1e-4 });
  expect(steps['losses'].figures!['apart']).toBeCloseTo(5e-6, 8);
  expect(verdict).toBe('ok');
  expect(summary).toMatchObject({ device: 'stand-in', gpus: ['Stand-in GPU, 1, 2 MiB, 9.0'] });
  const { stdout: packed } = spawnSync('tar', ['-tzf', join(folder, 'out/logs.tar.gz')], { encoding: 'utf8' });
  expect(packed.split('\n')).toEqual(expect.arrayContaining(rightSteps.map((name) => `logs/${name}.log`)));
  expect(status).toBe(0);
});

test('the stage `fast` gives its figures, names missing programs, and keeps the results of `right`', () => {
  check(['right']);
  const { status, summary } = check(['fast']);
  expect(summary.stages['right'].verdict).toBe('ok');
  expect(summary.stages['fast']).toMatchObject({
    verdict: 'ok',
    steps: {
      'step-beside-pytorch': { ok: true, figures: { milliseconds: 18.5, samplesPerSecond: 1000 } },
      'step-without-lanes': { ok: true },
      'kernels-timed': { ok: true },
      'products-and-ops': { ok: true },
      'torch-kernels': { leftOut: expect.stringContaining('PyTorch') },
    },
  });
  expect(status).toBe(0);
});

test('a failed check is named and gives a failing exit code, and the other checks still run', () => {
  program('programs/kernels', 'echo WRONG; exit 3');
  const { status, stdout, summary } = check(['right']);
  expect(summary.stages['right']).toMatchObject({
    verdict: 'failed',
    steps: { kernels: { ok: false, problem: 'exit code 3, see kernels.log' }, step: { ok: true } },
  });
  expect(readFileSync(join(folder, 'out/logs/kernels.log'), 'utf8')).toContain('WRONG');
  expect(stdout).toMatch(/^kernels +FAILED in .*exit code 3, see kernels\.log$/m);
  expect(status).toBe(1);
});

test('losses that differ from those of the CPU fail', () => {
  lxmert({ cuda: 2.01 });
  const { status, summary } = check(['right']);
  expect(summary.stages['right'].steps['losses']).toMatchObject({
    ok: false,
    problem: expect.stringMatching(/^losses are 5\.0e-3 apart/),
  });
  expect(status).toBe(1);
});

test('a note of the engine fails the check, because a step without its graph is correct but slow', () => {
  const note = 'steps run op by op, which is slower: capture failed';
  lxmert({ bench: `echo '${note}' >&2` });
  const { status, summary } = check(['fast']);
  expect(summary.stages['fast'].steps['step-beside-pytorch']).toMatchObject({ ok: false, problem: note });
  expect(status).toBe(1);
});

test('if something is not built, the stage is incomplete, and the message says how to build it', () => {
  rmSync(join(folder, 'programs/kernels'));
  const { status, summary } = check(['right']);
  expect(summary.stages['right']).toMatchObject({
    verdict: 'incomplete',
    steps: { kernels: { missing: expect.stringContaining('npm run build:cuda -- --programs') }, step: { ok: true } },
  });
  expect(status).toBe(1);
});

test('a stage and all its processes end at its deadline, and checks that did not run are named', () => {
  const pid = join(folder, 'pid');
  program('programs/kernels', `sleep 600 & echo $! >"${pid}"; wait`);
  const { status, summary } = check(['right', '--seconds', '2']);
  const { verdict, steps } = summary.stages['right'];
  expect(verdict).toBe('incomplete');
  for (const name of rightSteps)
    expect([name, steps[name]]).toEqual([name, expect.objectContaining({ outOfTime: true })]);
  // The process does not exist any more, or it is a zombie for which its new parent has not waited yet.
  const stat = `/proc/${readFileSync(pid, 'utf8').trim()}/stat`;
  expect(existsSync(stat) ? readFileSync(stat, 'utf8').replace(/^.*\) /, '')[0] : 'gone').toMatch(/^(gone|Z)$/);
  expect(status).toBe(1);
});

test.each([
  [['quick'], /there is no stage quick: they are build, right, fast, ranks, sanitize, ops/],
  [['--seconds', '0'], /--seconds must be a number above 0/],
])('wrong usage: %j', (args, message) => {
  const { status, stderr } = check(args);
  expect(stderr).toMatch(message);
  expect(status).toBe(2);
});

test('the stage `ranks` needs a second GPU, and compares one with all', () => {
  const alone = check(['ranks']).summary.stages['ranks'];
  expect(alone).toMatchObject({ steps: { 'ranks-losses': { leftOut: 'the machine has no second GPU' } } });
  program('bin/nvidia-smi', 'echo "Stand-in GPU, 1, 2 MiB, 9.0"; echo "Stand-in GPU, 1, 2 MiB, 9.0"');
  const { verdict, steps } = check(['ranks']).summary.stages['ranks'];
  expect(verdict).toBe('ok');
  expect(steps['ranks-losses']).toMatchObject({ ok: true, figures: { gpus: 2, steps: 1 } });
  expect(steps['ranks-step']).toMatchObject({
    ok: true,
    figures: { gpus: 2, samplesPerSecond: 1900, efficiency: 0.95 },
  });
});

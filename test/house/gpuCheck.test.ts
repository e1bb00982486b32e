import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

/** Whatever scripts/gpu-check.sh runs, by stand-ins that compile and compute nothing: its order, its deadline, its summary. */
const script = fileURLToPath(new URL('../../scripts/gpu-check.sh', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-gpu-check-'));
  mkdirSync(join(folder, 'bin'));
  const programs = {
    'nvidia-smi': 'case "$*" in *compute_cap*) echo 9.0;; *) echo "Stand-in GPU, 1, 2 MiB";; esac',
    // The program that it makes is of the same kind.
    nvcc: 'while (($#)); do [[ $1 == -o ]] && { printf "#!/bin/bash\\n%s" "$KERNELS" >"$2"; chmod +x "$2"; }; shift; done; eval "$COMPILER"',
    'g++': 'while (($#)); do [[ $1 == -o ]] && : >"$2"; shift; done',
    python3:
      'case "$*" in *sources.gypi*) echo native/cuda/a.cu; echo native/cpu/b.cc;; *import\\ torch*) exit 1;; *) echo "1 ms";; esac',
    npm: 'exit 0',
    npx: 'echo "{}"',
    'compute-sanitizer': 'exit 0',
  };
  for (const [name, text] of Object.entries(programs)) program(name, text);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, text: string): void {
  writeFileSync(join(folder, 'bin', name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
}

interface Summary {
  readonly device: string;
  readonly steps: Readonly<Record<string, { ok?: boolean; leftOut?: string; outOfTime?: boolean }>>;
}

function run(env: Record<string, string> = {}): { status: number | null; stdout: string; summary: Summary } {
  const { PATH = '' } = process.env;
  const { status, stdout } = spawnSync('bash', [script, join(folder, 'out')], {
    env: {
      ...process.env,
      PATH: `${folder}/bin:${PATH}`,
      KERNELS: '',
      COMPILER: '',
      NVCC: 'nvcc',
      PEER_PYTHON: '',
      ...env,
    },
    encoding: 'utf8',
  });
  const summary = JSON.parse(readFileSync(join(folder, 'out', 'summary.json'), 'utf8')) as Summary;
  return { status, stdout, summary };
}

const worthMostFirst = [
  'build',
  'check',
  'build-node',
  ...['head32', 'tiny'].flatMap((name) => [`parity-${name}-float32`, `parity-${name}-bfloat16`]),
  'bench',
  'step-beside-pytorch',
  'step-without-lanes',
  'memcheck',
  'racecheck',
  'build-instructions',
  'instructions',
  'ops',
  'bench-ops',
];

test('all steps run, the most valuable first, and what is not installed is named', () => {
  const { status, stdout, summary } = run();
  expect(stdout).toContain('Stand-in GPU');
  expect(Object.keys(summary.steps)).toEqual([...worthMostFirst, 'torch-kernels']);
  for (const name of worthMostFirst)
    expect([name, summary.steps[name]]).toEqual([name, expect.objectContaining({ ok: true })]);
  expect(summary).toMatchObject({
    device: expect.stringContaining('Stand-in GPU'),
    steps: { 'torch-kernels': { leftOut: 'PyTorch with CUDA is not installed' } },
  });
  expect(status).toBe(0);
});

test('a check that fails is named, the others run all the same, and the exit code says so', () => {
  const { status, stdout, summary } = run({ KERNELS: '[[ $1 != --check ]]' });
  expect(summary.steps).toMatchObject({
    check: { ok: false },
    bench: { ok: true },
    'step-beside-pytorch': { ok: true },
  });
  expect(stdout).toMatch(/check +FAILED, exit code 1, see check\.log/);
  expect(status).toBe(1);
});

test('what does not compile is not run', () => {
  const { status, summary } = run({ COMPILER: 'exit 3' });
  expect(summary.steps['build']).toMatchObject({ ok: false });
  expect(Object.keys(summary.steps)).not.toContain('check');
  expect(status).toBe(1);
});

test('a step gets its seconds or what is left of all, and is ended after them', () => {
  // What it is asked for is written down; two seconds stand for it.
  const asked = join(folder, 'asked');
  const timeout = spawnSync('bash', ['-c', 'command -v timeout'], { encoding: 'utf8' }).stdout.trim();
  program('timeout', `echo "$3" >>"${asked}"; exec ${timeout} -k 5 2 "\${@:4}"`);
  const { status, summary } = run({ COMPILER: 'sleep 600', GPU_CHECK_SECONDS: '200' });
  expect(summary.steps['build']).toMatchObject({ outOfTime: true });
  expect(Object.keys(summary.steps)).not.toContain('check');
  const [first, second] = readFileSync(asked, 'utf8').split('\n').map(Number);
  expect(first).toBeLessThanOrEqual(200);
  expect(second).toBeLessThanOrEqual(first - 1);
  expect(status).toBe(0);
});

test('those for which no time is left are named', () => {
  const { status, stdout, summary } = run({ GPU_CHECK_SECONDS: '4' });
  const { 'torch-kernels': notInstalled, ...others } = summary.steps;
  expect(notInstalled.leftOut).toContain('not installed');
  expect(others).toMatchObject({ build: {}, 'build-node': {}, 'build-instructions': {} });
  for (const step of Object.values(others)) expect(step).toEqual({ leftOut: 'no time was left' });
  expect(stdout).toMatch(/build-instructions +left out, no time was left/);
  expect(status).toBe(0);
});

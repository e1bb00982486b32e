/** The report of `lxmert doctor` on NCCL, with small libraries that this test builds under the name of NCCL. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { root } from '../cuda/support/programs.js';
import { emulator, withEmulator } from '../support/emulator.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-nccl-'));
afterAll(() => rmSync(folder, { recursive: true }));

const functions = [
  ...[
    'GetErrorString',
    'GetUniqueId',
    'CommInitRankConfig',
    'CommFinalize',
    'CommDestroy',
    'CommAbort',
    'CommGetAsyncError',
  ],
  ...['GroupStart', 'GroupEnd', 'Send', 'Recv', 'Broadcast', 'Reduce', 'AllReduce', 'ReduceScatter', 'AllGather'],
];

/** Builds a library with this version and these further functions. */
function library(name: string, version: number, others: readonly string[]): string {
  const source = join(folder, `${name}.c`);
  const told = `int ncclGetVersion(int* version) { *version = ${version}; return 0; }`;
  writeFileSync(source, [told, ...others.map((each) => `void nccl${each}(void) {}`)].join('\n'));
  const file = join(folder, `${name}.so`);
  const { status, stderr } = spawnSync('gcc', ['-shared', '-fPIC', source, '-o', file], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return file;
}

function doctor(env: Record<string, string>): { library?: string; missing?: string } {
  const { stdout, status } = spawnSync(process.execPath, ['dist/cli/main.js', 'doctor', '--json'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, LXMERT_CUDA_LIBRARY: emulator ?? '', ...env },
  });
  expect(status).toBe(0);
  return (JSON.parse(stdout) as { nccl: { library?: string; missing?: string } }).nccl;
}

const onEmulator = withEmulator(test);

onEmulator('its version and file are told', () => {
  const file = library('new', 23007, functions);
  expect(doctor({ LXMERT_NCCL: file })).toEqual({ library: `2.30.7 (${file})` });
});

onEmulator('a missing one is told with how to get it', () => {
  const { missing } = doctor({ LXMERT_NCCL: '/nowhere/libnccl.so.2' });
  expect(missing).toMatch(
    /^NCCL.* is not found \(\/nowhere\/libnccl\.so\.2: .*pip install nvidia-nccl-cu13.* LXMERT_NCCL/,
  );
});

onEmulator('a library without what we call is told with what it lacks', () => {
  const file = library('old', 10, functions.slice(0, -1));
  expect(doctor({ LXMERT_NCCL: file }).missing).toMatch(`${file} is not a known version of NCCL`);
  expect(doctor({ LXMERT_NCCL: file }).missing).toMatch(/it has no ncclAllGather$/);
});

onEmulator('a wheel in the active Python environment is found, also behind a toolkit without it', () => {
  const packages = join(folder, 'venv', 'lib', 'python3.11', 'site-packages', 'nvidia', 'nccl', 'lib');
  mkdirSync(packages, { recursive: true });
  const file = join(packages, 'libnccl.so.2');
  copyFileSync(library('wheel', 23007, functions), file);
  const found = doctor({ VIRTUAL_ENV: join(folder, 'venv'), CUDA_HOME: join(folder, 'nowhere') });
  expect(found.library).toBe(`2.30.7 (${file})`);
});

test('without the CUDA back end, NCCL is not searched', () => {
  expect(doctor({ LXMERT_CUDA_LIBRARY: '/nowhere/lxmert_cuda.so' }).missing).toMatch(/correct or unset LXMERT_CUDA/);
});

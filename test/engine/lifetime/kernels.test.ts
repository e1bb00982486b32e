import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

// Tests kernels whose allocations fail: see kernels.cc.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lxmert-oom-'));
const program = join(folder, 'kernels');

beforeAll(() => {
  const kernels = ['attention', 'layer_norm', 'object_embedding', 'token_embedding'];
  const sources = ['test/engine/lifetime/kernels.cc', ...kernels.map((name) => `native/cpu/${name}.cc`)];
  const flags = ['-std=c++20', '-O1', '-fopenmp', '-Wall', '-Wextra', '-Werror', '-Wno-psabi', '-Inative'];
  execFileSync('g++', [...flags, ...sources, '-o', program], { cwd: root });
});

afterAll(() => rmSync(folder, { recursive: true }));

test('a CPU kernel whose allocation fails, on any thread, throws and does not end the process', () => {
  const { status, signal, stdout } = spawnSync(program, { encoding: 'utf8', timeout: 300_000 });
  const lines = stdout.split('\n').filter((line) => line !== '');
  expect(lines).toHaveLength(9);
  expect(lines.filter((line) => !line.startsWith('ok '))).toEqual([]);
  expect({ status, signal }).toEqual({ status: 0, signal: null });
});

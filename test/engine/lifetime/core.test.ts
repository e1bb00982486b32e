import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

// Events that are rare on a real device: kernels that fail or wait, and checks of memory. See core.cc and recordings.cc.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lxmert-core-'));
const program = join(folder, 'core');
const { variables } = JSON.parse(readFileSync(join(root, 'native/sources.gypi'), 'utf8')) as {
  variables: Record<string, string[]>;
};

beforeAll(() => {
  const sources = variables['lxmert_sources'].filter((path) => path.startsWith('native/engine/'));
  const flags = ['-std=c++20', '-O0', '-pthread', '-Inative'];
  const tests = ['core.cc', 'recordings.cc'].map((file) => join('test/engine/lifetime', file));
  execFileSync(process.env['CXX'] || 'g++', [...flags, ...tests, ...sources, '-o', program], { cwd: root });
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('the core, without JavaScript', () => {
  test('runs work in order, keeps the first failure, drains, drops, and releases all memory', () => {
    const { status, signal, stdout } = spawnSync(program, { encoding: 'utf8', timeout: 300_000 });
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('ok '))).toEqual([]);
    expect({ status, signal }).toEqual({ status: 0, signal: null });
  });
});

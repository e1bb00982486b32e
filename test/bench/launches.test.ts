/** What an op launches on CUDA (src/bench/launches.ts), by what the emulator is given: a wrong number makes floors wrong. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { root } from '../cuda/support/programs.js';
import { opNames } from '../engine/support/opTable.js';
import { emulator, withEmulator } from '../support/emulator.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-launches-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Launched {
  readonly op: string;
  readonly shape: string;
  readonly expected: number;
  readonly given: readonly string[];
}

// In a process of its own: the emulator looks once for the name of the file.
withEmulator(test).each(['float32', 'bfloat16'])('each op launches what the table says, in %s', (precision) => {
  const trace = join(folder, precision);
  writeFileSync(trace, '');
  const { stdout, stderr, status } = spawnSync(process.execPath, ['test/bench/children/launches.mjs', precision], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, LXMERT_CUDA_LIBRARY: emulator ?? '', LXMERT_EMULATOR_TRACE: trace },
  });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  const launched = JSON.parse(stdout) as Launched[];
  expect(new Set(launched.map(({ op }) => op))).toEqual(new Set(opNames));
  expect(launched.filter(({ expected, given }) => given.length !== expected)).toEqual([]);
  // Nothing is copied or filled for an op but what a kernel or a product does.
  expect(launched.flatMap(({ given }) => given).filter((line) => !/^(kernel|product)/.test(line))).toEqual([]);
});

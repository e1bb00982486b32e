/** Compares the launches of each op (src/bench/launches.ts) with those on the emulator. Wrong numbers would make floors wrong. */
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

// The ops run in a separate process, because the emulator reads the name of the trace file only once.
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
  // `packWeight` launches nothing on CUDA.
  expect(new Set(launched.map(({ op }) => op))).toEqual(new Set(opNames.filter((op) => op !== 'packWeight')));
  expect(launched.filter(({ expected, given }) => given.length !== expected)).toEqual([]);
  // An op needs no copies and fills besides its kernels and products.
  expect(launched.flatMap(({ given }) => given).filter((line) => !/^(kernel|product)/.test(line))).toEqual([]);
});

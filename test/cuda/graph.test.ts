import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { build, cudaSources, run, withEmulator } from './support/programs.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-graph-'));
afterAll(() => rmSync(folder, { recursive: true }));

withEmulator(test)(
  'what the device makes of recorded ops',
  async () => {
    const program = join(folder, 'graph');
    await build(program, ['test/cuda/graph.cu', ...cudaSources], false);
    const { stdout, stderr, status } = run(program, []);
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('ok '))).toEqual([]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  },
  120_000,
);

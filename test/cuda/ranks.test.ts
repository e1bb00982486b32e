/** Sums over ranks beside captured graphs, and faults in their code, which a program must find. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { build, buildWithFault, cudaSources, run } from './support/programs.js';
import { withEmulator } from '../support/emulator.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-ranks-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sources = ['test/cuda/ranks.cu', ...cudaSources];
const sums = 'native/cuda/nccl_sums.cu';

function complaints(program: string, env: Record<string, string> = {}): string {
  const { stdout, stderr, signal } = run(program, [], env);
  return stdout + stderr + (signal ?? '');
}

withEmulator(describe)('sums over ranks', () => {
  test('beside graphs, and copies from owners', async () => {
    const program = join(folder, 'ranks');
    await build(program, sources, false);
    expect(complaints(program)).toBe('');
    for (const seed of ['2', '3'])
      expect(complaints(program, { LXMERT_EMULATOR_SEED: seed, LXMERT_EMULATOR_DELAYS: '2' })).toBe('');
  });

  test.each([
    [
      'sums that do not wait for the kernels',
      'check(cudaStreamWaitEvent(*stream_, at.main, 0), "waiting for kernels");',
      '',
      /FAILED (sums|slices|float32)/,
    ],
    [
      'sums that wait for one lane only',
      'if (mark % 2 == 1) check(cudaStreamWaitEvent(*stream_, at.side, 0), "waiting for kernels");',
      '',
      /FAILED (sums|slices|float32)/,
    ],
    [
      'kernels that do not wait for the sums',
      'check(cudaStreamWaitEvent(device_.stream(), *done_, 0), "waiting for other ranks");',
      '',
      /FAILED (sums|slices|float32)/,
    ],
    [
      'parameters that are not copied, which layer norms, tables and boxes read',
      'floats += static_cast<double>(piece.size);',
      'if (device_.shadow(piece.data)) continue;',
      /FAILED float32 parameters of owners/,
    ],
    [
      'parameters whose bf16 copy stays, which products read',
      'convertToBf16(*stream_, piece.data, copy, piece.size);',
      '(void)copy;',
      /FAILED bfloat16 parameters of owners/,
    ],
  ])('finds %s', async (_, from, to, complaint) => {
    const program = join(folder, 'faulty');
    await buildWithFault(program, sources, { file: sums, from, to });
    // Not every order of the work shows the fault.
    let found = '';
    for (let seed = 1; seed <= 10 && found === ''; seed++)
      found = complaints(program, { LXMERT_EMULATOR_SEED: `${seed}` });
    expect(found).toMatch(complaint);
  });
});

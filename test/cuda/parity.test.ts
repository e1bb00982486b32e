/** Parity of the whole model on the CUDA kernels with PyTorch fixtures, in both precisions, on the emulator. */
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { bounds, runParity } from '../../src/parity/parity.js';
import { emulator, withEmulator } from '../support/emulator.js';
import { run } from './support/programs.js';

withEmulator(test).each([
  ['tiny', 'float32'],
  ['tiny', 'bfloat16'],
  ['head32', 'float32'],
  ['head32', 'bfloat16'],
] as const)('%s in %s', async (name, precision) => {
  const fixture = join(import.meta.dirname, '../fixtures', name);
  const report = await runParity(fixture, { engine: { device: 'cuda', precision, cudaLibrary: emulator! } });
  expect(report.tolerance).toBe(bounds[precision].tolerance);
  expect(report.skipped).toEqual([]);
  expect(report.notes).toEqual([]);
  for (const { kind, worst, name: what } of report.kinds)
    expect({ kind, what, worst, within: worst <= report.tolerance }).toMatchObject({ within: true });
  // The errors in bfloat16 must be larger than in float32, which shows that bfloat16 was used.
  const outputs = report.kinds.find(({ kind }) => kind === 'outputs')!;
  if (precision === 'bfloat16') expect(outputs.worst).toBeGreaterThan(1e-4);
});

withEmulator(test)('if a step cannot be captured as a graph, its results are right, and there is a note', () => {
  const args = ['dist/cli/main.js', 'parity', 'test/fixtures/tiny', '--device', 'cuda', '--json'];
  const env = { LXMERT_CUDA_LIBRARY: emulator!, LXMERT_EMULATOR_NO_GRAPHS: '1' };
  const { stdout, status } = run(process.execPath, args, env);
  expect(status).toBe(0);
  const { passed, notes } = JSON.parse(stdout) as { passed: boolean; notes: string[] };
  expect({ passed, notes }).toEqual({
    passed: true,
    notes: [expect.stringMatching(/op by op.*cudaGraphInstantiate failed/)],
  });
});

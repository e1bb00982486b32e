/** The whole model on the CUDA kernels, run by the emulator: PyTorch fixtures in both precisions. */
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { bounds, runParity } from '../../src/parity/parity.js';
import { emulator, withEmulator } from '../support/emulator.js';

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
  for (const { kind, worst, name: what } of report.kinds)
    expect({ kind, what, worst, within: worst <= report.tolerance }).toMatchObject({ within: true });
  // Told apart: bfloat16 is no float32 in disguise.
  const outputs = report.kinds.find(({ kind }) => kind === 'outputs')!;
  if (precision === 'bfloat16') expect(outputs.worst).toBeGreaterThan(1e-4);
});

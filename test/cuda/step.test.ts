import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { build, buildWithFault, cudaSources, run, withEmulator } from './support/programs.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-step-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sources = ['test/cuda/step.cu', ...cudaSources];
const device = 'native/cuda/device.cu';

/** What one run of the program has to say besides `ok`. */
function complaints(program: string): string {
  const { stdout, stderr } = run(program, []);
  return stdout.replace(/^ok .*\n/gm, '') + stderr;
}

withEmulator(describe)('what a step asks of the device', () => {
  test('graphs, and uploads beside the kernels', async () => {
    const program = join(folder, 'step');
    await build(program, sources, false);
    expect(complaints(program)).toBe('');
  }, 120_000);

  test.each([
    [
      'the kernels that do not wait for the upload',
      'check(cudaStreamWaitEvent(stream_, copied_, 0), "an upload");',
      '',
    ],
    [
      'the upload that does not wait for the readers',
      'check(cudaStreamWaitEvent(ahead_, fence_, 0), "an upload");',
      '',
    ],
    ['the upload that does not wait for the zeros', 'zeroing_ = true;', ''],
  ])(
    'finds %s',
    async (_, from, to) => {
      const program = join(folder, 'faulty');
      await buildWithFault(program, sources, { file: device, from, to });
      expect(complaints(program)).toContain('FAILED uploads ahead keep their order');
    },
    120_000,
  );
});

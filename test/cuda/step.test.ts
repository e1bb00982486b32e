import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { build, buildWithFault, cudaSources, run } from './support/programs.js';
import { withEmulator } from '../support/emulator.js';

const folder = mkdtempSync(join(tmpdir(), 'lxmert-step-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sources = ['test/cuda/step.cu', ...cudaSources];
const device = 'native/cuda/device.cu';
const lanes = 'native/cuda/lanes.cu';

/** The output of one run of the program, except `ok`. */
function complaints(program: string): string {
  const { stdout, stderr } = run(program, []);
  return stdout.replace(/^ok .*\n/gm, '') + stderr;
}

withEmulator(describe)('the device in a step', () => {
  test('graphs, and uploads during kernels', async () => {
    const program = join(folder, 'step');
    await build(program, sources, false);
    expect(complaints(program)).toBe('');
  });

  test.each([
    [
      'the kernels that do not wait for the upload',
      device,
      'check(cudaStreamWaitEvent(stream_, copied_, 0), "an upload");',
      '',
      'uploads ahead keep their order',
    ],
    [
      'the upload that does not wait for the readers',
      device,
      'check(cudaStreamWaitEvent(ahead_, fence_, 0), "an upload");',
      '',
      'uploads ahead keep their order',
    ],
    ['the upload that does not wait for the zeros', device, 'zeroing_ = true;', '', 'uploads ahead keep their order'],
    [
      'the lane that does not wait for what came before',
      lanes,
      'check(cudaStreamWaitEvent(side_, parted_, 0), "lanes");',
      '',
      'lanes part and join',
    ],
    [
      'the step that does not wait for a lane',
      lanes,
      'return status == cudaSuccess ? cudaStreamWaitEvent(main_, joined_, 0) : status;',
      'return status;',
      'lanes part and join',
    ],
    ['lanes with the same scratch space', lanes, 'lane_ == kSide ? 1 : 0', '0', 'lanes part and join'],
    ['a read that does not wait for a lane', lanes, 'if (lane_ != 0) join();', '', 'all else is behind the lanes'],
  ])('finds %s', async (_, file, from, to, complaint) => {
    const program = join(folder, 'faulty');
    await buildWithFault(program, sources, { file, from, to });
    expect(complaints(program)).toContain(`FAILED ${complaint}`);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, emulatorSources, run } from '../support/programs.js';
import { withEmulator } from '../../support/emulator.js';

// Tests the emulator of the CUDA kernels with special kernels, in programs without Node (the .cu files in this folder).
const folder = mkdtempSync(join(tmpdir(), 'lxmert-emulator-'));
afterAll(() => rmSync(folder, { recursive: true }));

const program = (name: string, sanitized: boolean): string => join(folder, sanitized ? `${name}-asan` : name);

const programs = [
  { name: 'instructions', sanitized: false },
  { name: 'instructions', sanitized: true },
  { name: 'machinery', sanitized: false },
  { name: 'streams', sanitized: false },
  { name: 'streams', sanitized: true },
  { name: 'faults', sanitized: false },
  { name: 'faults', sanitized: true },
];

/** The result of one launch of the faulty kernel: its line of output, or the finding of the sanitizer. */
function outcome(fault: string, sanitized: boolean): string {
  const { stdout, stderr } = run(program('faults', sanitized), [fault]);
  return /ERROR: AddressSanitizer: [\w-]+/.exec(stderr)?.[0] ?? stdout.trim();
}

withEmulator(describe)('the emulator', () => {
  beforeAll(async () => {
    await Promise.all(
      programs.map(({ name, sanitized }) =>
        build(program(name, sanitized), [`test/cuda/emulator/${name}.cu`, ...emulatorSources], sanitized),
      ),
    );
  });

  test.each(programs.filter(({ name }) => name !== 'faults'))(
    '$name (address sanitizer: $sanitized)',
    ({ name, sanitized }) => {
      const { stdout, stderr, status } = run(program(name, sanitized), []);
      expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('ok '))).toEqual([]);
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    },
  );

  test('the seed determines the order', () => {
    const of = (seed: string) => run(program('faults', false), ['order'], { LXMERT_EMULATOR_SEED: seed }).stdout;
    expect(of('5')).toBe(of('5'));
    expect(of('5')).not.toBe(of('6'));
  });

  test.each([
    ['none', /: right$/],
    ['no-barrier', /: wrong values$/],
    ['no-barrier-between-rows', /: wrong values$/],
    ['wrong-index', /: wrong values$/],
    ['no-mask', /: wrong values$/],
    ['shared-overrun', /wrote beside its 16 bytes of shared memory, at byte 16$/],
    ['shared-underrun', /wrote beside its 16 bytes of shared memory, at byte -4$/],
    ['barrier-in-branch', /threads of one block meet at two barriers, faults\.cu:\d+ and faults\.cu:\d+$/],
    ['barrier-after-return', /threads 0-95 wait in __syncthreads at faults\.cu:\d+; threads 96-127 have returned$/],
    ['two-barriers', /threads of one block meet at two barriers, faults\.cu:\d+ and faults\.cu:\d+$/],
    ['lane-missing', /threads 0-6, 8-38, .* wait in __shfl_xor_sync .*; threads 7, 39, 71, 103 wait in __syncthreads/],
    ['lane-returned', /threads 96-99 wait in __shfl_xor_sync at faults\.cu:\d+; threads 100-127 have returned$/],
    ['mask-without-lane', /__shfl_xor_sync.*which the mask lacks$|the mask lacks the calling lane$/],
    ['mask-without-source', /__shfl_xor_sync: lane (31 reads lane 15|15 reads lane 31), which the mask lacks$/],
    ['two-operations', /operation not reached by all lanes: threads 0-2, .* wait in __syncwarp .* in __shfl_xor_sync/],
    ['global-overrun', /something wrote behind an allocation of the emulated device$/],
    ['ldmatrix-misaligned', /kernel misuse, block \(0, 0, 0\): ldmatrixX4: an address is not aligned to 16 bytes$/],
    ['ldmatrix-outside', /ldmatrixX4: reads beside shared memory$/],
    ['copy-misaligned', /cpAsync16: an address is not aligned to 16 bytes$/],
    ['copy-outside', /cpAsync16: writes beside shared memory$/],
    ['copy-not-awaited', /: wrong values$/],
  ])('the fault %s of a kernel is found', (fault, expected) => {
    expect(outcome(fault, false)).toMatch(expected);
  });

  test.each([
    ['none', /: right$/],
    ['shared-overrun', /AddressSanitizer: use-after-poison$/],
    ['shared-underrun', /AddressSanitizer: use-after-poison$/],
    ['global-overrun', /AddressSanitizer: heap-buffer-overflow$/],
    ['barrier-after-return', /threads 96-127 have returned$/],
  ])('the address sanitizer finds the fault %s', (fault, expected) => {
    expect(outcome(fault, true)).toMatch(expected);
  });
});

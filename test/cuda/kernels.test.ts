import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, buildWithFault, kernelSources, run, type Fault } from './support/programs.js';
import { withEmulator } from '../support/emulator.js';

// Runs bench/cuda on the emulator. It compares every kernel with the CPU's kernel, and must find faults in kernels.
const folder = mkdtempSync(join(tmpdir(), 'lxmert-kernels-'));
afterAll(() => rmSync(folder, { recursive: true }));

const forward = 'native/cuda/attention_forward.cu';

const faults: readonly (Fault & { readonly what: string; readonly expected: RegExp })[] = [
  {
    what: 'a barrier is missing',
    file: forward,
    from: '  cpAsyncWait<0>();\n  __syncthreads();\n',
    to: '  cpAsyncWait<0>();\n',
    expected: /WRONG attentionForward \w+ bfloat16.*: differs by/,
  },
  {
    what: 'copies are not waited for',
    file: forward,
    from: '  cpAsyncWait<0>();\n',
    to: '',
    expected: /WRONG attentionForward \w+ bfloat16.*: differs by/,
  },
  {
    what: 'some warps leave before a barrier',
    file: forward,
    from: '  __syncthreads();\n  if (first >= queries) return;\n',
    to: '  if (first >= queries) return;\n  __syncthreads();\n',
    expected: /WRONG attentionForward .*barrier not reached by all threads: .* have returned/,
  },
  {
    what: 'keys are not masked',
    file: forward,
    from: '8 * n + 2 * l.t + i % 2 < keys ?',
    to: 'keys > 0 ?',
    expected: /WRONG attentionForward \w+ bfloat16.*: differs by/,
  },
  {
    what: 'an index is wrong',
    file: forward,
    from: 'v + 16 * tile * kPitch<kDim>',
    to: 'v + 8 * tile * kPitch<kDim>',
    expected: /WRONG attentionForward \w+ bfloat16.*: differs by/,
  },
  {
    what: 'shared memory is too small',
    file: forward,
    from: 'sizeof(bf16) * 3 * roundUp',
    to: 'sizeof(bf16) * 2 * roundUp',
    expected: /WRONG attentionForward .*cpAsync16: writes beside shared memory/,
  },
  {
    what: 'sums of columns do not wait for all warps',
    file: 'native/cuda/column_sums.cuh',
    source: 'native/cuda/layer_norm.cu',
    from: '      __syncthreads();\n',
    to: '',
    expected: /WRONG layerNormBackward \w+, .*: differs by/,
  },
];

withEmulator(describe)('the kernels on the emulator', () => {
  beforeAll(() => build(join(folder, 'kernels'), kernelSources, false));

  test('agree with the CPU kernels, in float32 and bfloat16', () => {
    const { stdout, status } = run(join(folder, 'kernels'), ['--check']);
    expect(stdout.split('\n').slice(1)).toEqual([expect.stringMatching(/^\d{3} kernels right, 0 wrong$/), '']);
    expect(status).toBe(0);
  });

  test.each(faults)('a fault is found: $what ($file)', async (fault) => {
    const program = join(folder, `fault-${faults.indexOf(fault)}`);
    await buildWithFault(program, kernelSources, fault);
    const { stdout, status } = run(program, ['--check']);
    expect(stdout).toMatch(fault.expected);
    expect(status).toBe(1);
  });

  // Compiling takes two minutes on one core, so this runs only in CI or with LXMERT_SANITIZE=1.
  const sanitize = process.env['LXMERT_SANITIZE'] === '1' || process.env['CI'] === 'true';
  (sanitize ? test : test.skip)('touch no memory that is not theirs (address sanitizer)', async () => {
    const program = join(folder, 'kernels-asan');
    await build(program, kernelSources, true);
    const { stdout, stderr, status } = run(program, ['--check']);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/\d{3} kernels right, 0 wrong/);
    expect(status).toBe(0);
  });
});

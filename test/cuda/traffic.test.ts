import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildWatched, instrumentedObjects } from './support/instrumented.js';
import { root, run, type Fault } from './support/programs.js';
import { withEmulator } from '../support/emulator.js';

// Counts of memory traffic (docs/emulator.md, Memory traffic): of kernels with known traffic, of the project's kernels
// compared with native/cuda/traffic.json, and of kernels with faults.
const folder = mkdtempSync(join(tmpdir(), 'lxmert-traffic-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Cost {
  readonly requests: number;
  readonly touched: number;
  readonly least: number;
}
interface Launch {
  readonly kernel: string;
  readonly read: number;
  readonly written: number;
  readonly loads: Cost;
  readonly stores: Cost;
  readonly shared: Cost;
  readonly worst: readonly { readonly at: string; readonly kind: string }[];
}

/**
 * The counts of one launch: bytes read and written; then, for loads, stores and shared memory, the number of requests,
 * the number that was needed, and the smallest possible number.
 */
type Counted = readonly [number, number, ...(readonly [number, number, number])[]];
const countsOf = ({ read, written, loads, stores, shared }: Launch): Counted => [
  read,
  written,
  ...[loads, stores, shared].map(({ requests, touched, least }) => [requests, touched, least] as const),
];

// A block of 32 warps with 32 float32 numbers for each warp: 4 KB, 128 sectors, 4 for each warp.
const rows = [32, 128, 128] as const;
const none = [0, 0, 0] as const;

/** The kernels of test/cuda/emulator/traffic.cu, in their order. */
const known: readonly (readonly [string, Counted])[] = [
  ['copyRows', [4096, 4096, rows, rows, none]],
  ['readAcross', [4096, 4096, [32, 1024, 128], rows, none]],
  ['writeAcross', [4096, 4096, rows, [32, 1024, 128], none]],
  ['readBeside', [4096 + 32, 4096, [32, 160, 128], rows, none]],
  ['broadcast', [128, 4096, [32, 32, 32], rows, none]],
  ['someLanes', [76 * 32, 76 * 32, [31, 76, 76], [31, 76, 76], none]],
  ['loop', [4096, 4096, [1024, 4096, 4096], rows, none]],
  ['vectors', [16384, 16384, [32, 512, 512], [32, 512, 512], none]],
  ['twoVectors', [32768, 16384, [64, 2048, 1024], [32, 512, 512], none]],
  // 32 rows are written with one pass each, and 32 columns are read, which are in one bank or in all banks.
  ['transpose<kSide>', [4096, 4096, rows, rows, [64, 32 + 32 * 32, 64]]],
  ['transpose<kSide + 1>', [4096, 4096, rows, rows, [64, 64, 64]]],
  // Four copies of 512 bytes with four passes each; then two times four matrices, whose rows begin in the same bank or not.
  ['matrices<64>', [2048, 128, [4, 64, 64], [1, 4, 4], [12, 16 + 8 * 8, 16 + 8]]],
  ['matrices<72>', [2048, 128, [4, 64, 64], [1, 4, 4], [12, 16 + 8, 16 + 8]]],
];

const faults: readonly (Fault & { what: string; op: string; expected: RegExp })[] = [
  {
    what: 'rows in shared memory have no padding',
    file: 'native/cuda/attention_tiles.cuh',
    source: 'native/cuda/attention_forward.cu',
    from: 'constexpr int kPitch = kDim + 8;',
    to: 'constexpr int kPitch = kDim;',
    op: 'attentionForward objects',
    expected:
      /bfloat16: attentionForwardKernel: shared [2-9]\.\d+ times the least, 1 is budgeted \(most: \d+ for \d+ at /,
  },
  {
    what: 'each thread reads numbers that follow one another',
    file: 'native/cuda/adam.cu',
    from: 'int64_t j = begin + threadIdx.x * V; j < end; j += kNormThreads * V',
    to: 'int64_t n = (end - begin) / kNormThreads, j = begin + threadIdx.x * n, stop = j + n; j < stop; j += V',
    op: 'gradNorm',
    expected:
      /gradNorm float32: chunkNormKernel: loads [1-9]\.\d+ times the least, 1 is budgeted .*at vectors\.cuh:\d+/,
  },
  {
    what: 'a thread takes 32 bytes in two loads',
    file: 'native/cuda/smooth_l1.cu',
    from: 'constexpr int kColumns = kWide<float>;',
    to: 'constexpr int kColumns = 8;',
    op: 'smoothL1Backward',
    expected: /smoothL1Backward bfloat16: smoothL1BackwardKernel: loads 1\.\d+ times the least, 1 is budgeted/,
  },
];

/** Counts the traffic of the ops with this name in a program, and returns it with the budgets. */
const check = (args: readonly string[]) => run(process.execPath, [join(root, 'scripts/check-traffic.mjs'), ...args]);

withEmulator(describe)('memory traffic', () => {
  beforeAll(() => instrumentedObjects());

  test('the counts of kernels with known traffic are right', async () => {
    await buildWatched('traffic', join(folder, 'known'), 'test/cuda/emulator/traffic.cu');
    const { stdout, stderr } = run(join(folder, 'known'), []);
    expect(stderr).toBe('');
    const lines = stdout.trim().split('\n');
    const launches = lines.map((line) => JSON.parse(line) as Launch).filter(({ stores }) => stores.requests > 0);
    expect(launches.map((launch) => [launch.kernel.replace(/[()]/g, ''), countsOf(launch)])).toEqual(known);
    expect(launches[1].worst).toEqual([
      expect.objectContaining({ kind: 'loads', at: expect.stringMatching('^traffic.cu:') }),
    ]);
  });

  test('the kernels waste no more than their budgets', async () => {
    await buildWatched('traffic', join(folder, 'kernels'), null);
    const { stdout, stderr, status } = check(['--program', join(folder, 'kernels')]);
    expect(stdout).toMatch(/\nadamUpdate bfloat16: adamUpdateKernel +\d+\.\d\d/);
    expect(stderr).toMatch(/^traffic: \d{3} ops and kernels, 0 over their budget/);
    expect(status).toBe(0);
  });

  test.each(faults)('waste is found: $what ($file)', async (fault) => {
    await buildWatched('traffic', join(folder, 'faulty'), null, fault);
    const { stderr, status } = check(['--program', join(folder, 'faulty'), '--only', fault.op]);
    expect(stderr).toMatch(fault.expected);
    expect(status).toBe(1);
  });
});

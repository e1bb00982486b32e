import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run, type Fault } from './support/programs.js';
import { buildWatched, instrumentedObjects, raceLibrary } from './support/instrumented.js';
import { withEmulator } from '../support/emulator.js';

// Data races and misaligned accesses, which may not change any value. The kernels report each load and store to the emulator.
const folder = mkdtempSync(join(tmpdir(), 'lxmert-races-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);

/** The expected output for each fault in test/cuda/emulator/races.cu. */
const mistakes: readonly (readonly [string, RegExp])[] = [
  ['two-writers', /race on byte 0 of 4096 of device memory: thread \d+ reads .*thread \d+ wrote it .*no barrier/],
  ['two-blocks', /thread 0 of block \d wrote it \(races\.cu:\d+\); nothing orders the blocks of a launch$/],
  ['no-syncthreads', /race on byte [04] of 1024 of shared memory: .*no barrier of both is between$/],
  ['no-syncthreads-between', /of shared memory: .*no barrier of both is between$/],
  ['shuffle-for-syncwarp', /of shared memory: thread \d+ reads .*wrote it .*no barrier of both is between$/],
  ['ballot-for-syncwarp', /of shared memory: thread \d+ reads .*wrote it .*no barrier of both is between$/],
  ['syncwarp-of-others', /of shared memory: thread \d+ reads .*wrote it .*no barrier of both is between$/],
  ['ldmatrix', /of shared memory: thread \d+ reads \(races\.cu:\d+\); thread \d+ wrote it .*no barrier/],
  ['copy-not-awaited', /thread (\d+) reads .*; thread \1 copies to it by cp\.async and has not waited for that/],
  ['copy-without-barrier', /of shared memory: .*no barrier of both is between$/],
  ['copy-over-readers', /of shared memory: .*no barrier of both is between$/],
  ['atomic-and-plain', /of device memory: .*changed it atomically .*no barrier of both is between$|thread 7 wrote it/],
  ['no-event', /^kernel read, .*; write: thread 0 of block 0 wrote it .*no stream or event orders the two$/],
  ['copy-over-reader', /^a memset: .*; read: thread 0 of block 0 read it .*|^kernel read, .*; a memset: wrote it/],
  ['host-waits-elsewhere', /no stream or event orders the two$/],
  ['branches-of-a-graph', /no stream or event orders the two$/],
  ['misaligned-float4', /a load of .*float4.* that is not a multiple of 16 \(but of 4\) at races\.cu:\d+$/],
  ['misaligned-uint2', /a load of .*uint2.* that is not a multiple of 8 \(but of 4\) at races\.cu:\d+$/],
  ['misaligned-pair', /a store of .* that is not a multiple of 4 \(but of 2\) at races\.cu:\d+$/],
  ['index', /an index beyond its array at races\.cu:\d+$/],
  ['shift', /a shift by too many bits, or of a negative number at races\.cu:\d+$/],
];

const attention = 'native/cuda/attention_forward.cu';

/** Faults that are made in the project's kernels. */
const faults: readonly (Fault & { what: string; op: string; displaced?: boolean; expected: RegExp })[] = [
  {
    what: 'a barrier before the products',
    file: attention,
    from: '  cpAsyncWait<0>();\n  __syncthreads();\n',
    to: '  cpAsyncWait<0>();\n',
    op: 'attentionForward',
    expected: /of shared memory: thread \d+ reads \(attention_.*no barrier of both is between/,
  },
  {
    what: 'the wait for copies',
    file: attention,
    from: '  cpAsyncWait<0>();\n',
    to: '',
    op: 'attentionForward',
    expected: /copies to it by cp\.async and has not waited for that/,
  },
  {
    what: 'a barrier before shared memory is used again',
    file: 'native/cuda/adam.cu',
    from: '  __syncthreads();\n',
    to: '',
    op: 'gradNorm',
    expected: /normKernel, .*of shared memory: .*no barrier of both is between/,
  },
  {
    what: "the block's own place",
    file: 'native/cuda/column_sums.cu',
    from: 'partial[blockIdx.x * columns + left + c] = all',
    to: 'partial[left + c] = all',
    op: 'linearBackwardWeight',
    expected: /of device memory: .*nothing orders the blocks of a launch/,
  },
  {
    what: 'a look at the alignment',
    file: 'native/cuda/adam.cu',
    from: 'isAligned(g + chunk.begin) ?',
    to: 'true ?',
    op: 'gradNorm',
    displaced: true,
    expected: /a load of .* that is not a multiple of 16 \(but of 4\) at vectors\.cuh:\d+/,
  },
];

const device = 'native/cuda/device.cu';
const lanes = 'native/cuda/lanes.cu';

/** Waits that order the streams of a device; test/cuda/step.cu needs each of them. */
const waits = [
  [
    'the kernels wait for the upload',
    { file: device, from: 'check(cudaStreamWaitEvent(stream_, copied_, 0), "an upload");', to: '' },
    'uploads ahead',
  ],
  [
    'the upload waits for the readers',
    { file: device, from: 'check(cudaStreamWaitEvent(ahead_, fence_, 0), "an upload");', to: '' },
    'uploads ahead',
  ],
  [
    'a lane waits for what came before',
    { file: lanes, from: 'check(cudaStreamWaitEvent(side_, parted_, 0), "lanes");', to: '' },
    'lanes part and join',
  ],
  [
    'the step waits for a lane',
    {
      file: lanes,
      from: 'status == cudaSuccess ? cudaStreamWaitEvent(main_, joined_, 0) : status',
      to: 'status',
    },
    'lanes part and join',
  ],
  ['each lane has its scratch space', { file: lanes, from: 'lane_ == kSide ? 1 : 0', to: '0' }, 'lanes part and join'],
] as const;

withEmulator(describe)('races and alignment', () => {
  beforeAll(() => instrumentedObjects());

  test('each fault is found, and the same kernel without the fault has no finding', async () => {
    await buildWatched('races', path('races'), 'test/cuda/emulator/races.cu');
    const { stdout, stderr } = run(path('races'), []);
    expect(stderr).toBe('');
    const outcomes = new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
    );
    expect([...outcomes.keys()]).toEqual(mistakes.flatMap(([name]) => [`${name} (not)`, name]));
    for (const [name, expected] of mistakes) {
      expect([name, outcomes.get(`${name} (not)`)]).toEqual([name, 'right']);
      expect(outcomes.get(name)).toMatch(expected);
    }
  });

  test.each([
    ['at round places', []],
    ['at any', ['--displaced']],
  ])('the kernels have no race, with tensors %s', async (_, args) => {
    await buildWatched('races', path('kernels'), null);
    const { stdout, stderr } = run(path('kernels'), ['--check', ...args]);
    expect(stdout.split('\n').slice(1)).toEqual([expect.stringMatching(/^\d{3} kernels right, 0 wrong$/), '']);
    expect(stderr).toBe('');
  });

  test.each(faults)('a fault is found: $what is missing ($file)', async (fault) => {
    await buildWatched('races', path('faulty'), null, fault);
    const { stdout } = run(path('faulty'), [
      '--check',
      '--only',
      fault.op,
      ...(fault.displaced ? ['--displaced'] : []),
    ]);
    expect(stdout).toMatch(fault.expected);
  });

  test('the streams of the device have no race', async () => {
    await buildWatched('races', path('step'), 'test/cuda/step.cu');
    const { stdout, stderr } = run(path('step'), []);
    expect(stdout.replace(/^ok .*\n/gm, '') + stderr).toBe('');
  });

  test.each(waits)('a missing wait is found: %s', async (_, fault, only) => {
    await buildWatched('races', path('faulty-step'), 'test/cuda/step.cu', fault);
    expect(run(path('faulty-step'), [only]).stdout).toMatch(/race on byte .*; no stream or event orders the two/);
  });

  test('a whole model has no race, in lanes and in graphs', async () => {
    const args = ['dist/cli/main.js', 'parity', 'test/fixtures/tiny', '--device', 'cuda', '--precision', 'bfloat16'];
    const { stdout, stderr } = run(process.execPath, args, { LXMERT_CUDA_LIBRARY: await raceLibrary() });
    expect(stdout + stderr).toMatch(/all within 0\.05\n$/);
  });
});

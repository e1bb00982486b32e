import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { benchAnswers, benchKernels, benchStep } from '../../src/bench/index.js';
import { kernelOps } from '../../src/bench/kernelCalls.js';
import { answersLines, kernelsLines, stepLines } from '../../src/cli/benchTables.js';
import { opNames } from '../engine/support/opTable.js';
import { smallConfig } from '../support/batches.js';
import { emulator, withEmulator } from '../support/emulator.js';

const config = smallConfig({ hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.1 });
const sizes = { config, tokens: [4, 8] as const, objects: 5 };
const times = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };
const positive = (value: number): void => {
  expect(Number.isFinite(value)).toBe(true);
  expect(value).toBeGreaterThan(0);
};

/** A peer that answers like bench/torch_peer.py, but at once, and without Python and torch. */
const standIn = `#!${process.execPath}
let first = true;
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  if (first) console.log(JSON.stringify({ name: 'stand-in', ...(first = false) }));
  else if (request.end) { console.log(JSON.stringify({ peakMemoryBytes: 2 ** 20 })); process.exit(); }
  else console.log(JSON.stringify({ seconds: 2 }));
});
`;
/** The same peer, which also sends its process id. */
const named = standIn.replace(
  'let first',
  "require('node:fs').writeFileSync(__filename + '.pid', String(process.pid));\nlet first",
);
/** The same peer, which also writes the first line that it gets to a file. */
const told = standIn.replace(
  'if (first)',
  "if (first) require('node:fs').writeFileSync(__filename + '.setup', line);\n  if (first)",
);
const failing = `#!${process.execPath}
console.error("ModuleNotFoundError: No module named 'torch'");
process.exit(1);
`;
const dying = `#!${process.execPath}
process.stdin.once('data', () => {
  console.log('{"name":"dying"}');
  process.stdin.once('data', () => process.kill(process.pid, 'SIGKILL'));
});
`;
const babbling = `#!${process.execPath}
console.log('Hello from a library');
process.stdin.resume();
`;

/** Whether a process exists. Signal 0 only checks this. */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

let folder: string;
const program = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-'));
  for (const [name, text] of Object.entries({ standIn, named, told, failing, dying, babbling })) {
    await writeFile(program(name), text);
    await chmod(program(name), 0o755);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => void jest.restoreAllMocks());

const stepOptions = { ...sizes, batch: 4, steps: 2, warmup: 1, threads: 1 };

describe('bench step', () => {
  test('gives its JSON form', async () => {
    const lines: string[] = [];
    const report = await benchStep({ ...stepOptions, onProgress: (line) => lines.push(line) });
    expect(JSON.parse(JSON.stringify(report))).toMatchObject({ stepMilliseconds: times, batch: 4, threads: 1 });
    for (const key of ['samplesPerSecond', 'gflops', 'sgemmShare', 'peakMemoryBytes', 'gflopPerSample'] as const)
      positive(report[key]);
    expect(report.samplesPerSecond).toBeCloseTo(4000 / report.stepMilliseconds.median);
    expect(report.sgemmShare).toBeCloseTo(report.gflops / report.sgemmGflops);
    expect(report.peer).toBeUndefined();
    expect(report.notes).toEqual([]);
    expect(lines).toHaveLength(3);
  });

  test('gives the time of each op, and the sum of these times is at most that of the step', async () => {
    const report = await benchStep(stepOptions);
    const ran = report.ops.map(({ op }) => op);
    expect(ran).toEqual(expect.arrayContaining(['linearForward', 'attentionBackward', 'adamUpdate', 'gradNorm']));
    for (const op of report.ops) {
      positive(op.calls);
      expect(Number.isInteger(op.calls)).toBe(true);
      expect(op.share).toBeLessThan(1);
      positive(op.floorShare);
      expect(op.gflops !== undefined).toBe(/^(linear|attention)/.test(op.op));
    }
    const shares = report.ops.reduce((sum, { share }) => sum + share, 0);
    const mean = report.ops[0].milliseconds / report.ops[0].share;
    expect(shares + report.otherMilliseconds / mean).toBeCloseTo(1);
    expect(report.otherMilliseconds).toBeGreaterThan(0);
    const table = stepLines(report).join('\n');
    expect(table).toContain('samples/s');
    expect(table).toMatch(/^linearForward +\d+ /m);
  });

  test('compares with a peer, whose steps alternate with ours', async () => {
    const report = await benchStep({ ...stepOptions, peerPython: program('standIn') });
    expect(report.peer).toMatchObject({
      name: 'stand-in',
      samplesPerSecond: 2,
      milliseconds: { median: 2000, min: 2000, max: 2000 },
      peakMemoryBytes: 2 ** 20,
    });
    expect(report.peer!.ratio).toBeCloseTo(2000 / report.stepMilliseconds.median);
    expect(report.peer!.memoryRatio).toBeCloseTo(report.peakMemoryBytes / 2 ** 20);
    expect(stepLines(report).join('\n')).toContain('stand-in: 2.00/s');
  });

  test.each([
    ['vqa', 1, 3129],
    ['nlvr2', 2, 2],
  ] as const)('of fine-tuning on %s gives the peer the same questions', async (task, pictures, numQaLabels) => {
    const report = await benchStep({ ...stepOptions, task, peerPython: program('told') });
    const setup = JSON.parse(await readFile(`${program('told')}.setup`, 'utf8')) as { lengths: number[] };
    expect(setup).toMatchObject({ task, config: { num_qa_labels: numQaLabels } });
    expect(setup.lengths).toHaveLength(4 * pictures);
    // In fine-tuning, samples are questions, in lxmert and in the peer.
    expect(report).toMatchObject({ batch: 4, peer: { samplesPerSecond: 2 } });
    expect(report.samplesPerSecond).toBeCloseTo(4000 / report.stepMilliseconds.median);
  });

  test.each([
    ['failing', "exit code 1:\nModuleNotFoundError: No module named 'torch'"],
    ['babbling', 'Hello from a library'],
    ['missing', 'ENOENT'],
  ])('says why a peer does not start: %s', async (name, message) => {
    await expect(benchStep({ ...stepOptions, peerPython: program(name) })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  test.each(['step', 'answers'])('ends the peer when the engine does not start: %s', async (what) => {
    const huge = { ...config, vocabSize: 2 ** 40 };
    const options = { ...sizes, config: huge, steps: 1, warmup: 0, threads: 1, peerPython: program('named') };
    const bench = what === 'step' ? benchStep({ ...options, batch: 1 }) : benchAnswers({ ...options, batches: [1] });
    await expect(bench).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    const pid = Number(await readFile(`${program('named')}.pid`, 'utf8'));
    // The process disappears some time after it is killed. Two minutes are enough on any machine.
    for (let tries = 0; tries < 6000 && isThere(pid); tries++) await new Promise((done) => setTimeout(done, 20));
    expect(isThere(pid)).toBe(false);
  });

  test('ends with an error when the peer is killed during the bench', async () => {
    await expect(benchStep({ ...stepOptions, peerPython: program('dying') })).rejects.toThrow('SIGKILL');
  });
});

/** `packWeight` runs once when a model is opened, and not in a step. */
const timedOps = opNames.filter((op) => op !== 'packWeight');

describe('bench kernels', () => {
  test('covers the whole op table', () => {
    expect(kernelOps(config).sort()).toEqual([...timedOps].sort());
  });

  test('times each op by shape, batch and thread count', async () => {
    const some = { ops: ['tanhForward', 'geluBackward'], threads: [1, 2] };
    const few = await benchKernels({ ...sizes, ...some, batches: [2], parameters: 2 ** 17 });
    expect(few.rates.map(({ threads }) => threads)).toEqual([1, 2]);
    expect(few.kernels.map(({ op, threads }) => `${threads} ${op}`)).toEqual(
      [1, 2].flatMap((threads) => [`${threads} geluBackward`, `${threads} tanhForward`]),
    );
    const report = await benchKernels({ ...sizes, batches: [2, 5], threads: [1], parameters: 2 ** 17 });
    const keys = report.kernels.map(({ op, shape, batch, threads }) => JSON.stringify([op, shape, batch, threads]));
    expect(new Set(keys).size).toBe(keys.length);
    expect(new Set(report.kernels.map(({ op }) => op))).toEqual(new Set(timedOps));
    for (const kernel of report.kernels) {
      expect(kernel.milliseconds).toEqual(times);
      expect(kernel.batch === null || [2, 5].includes(kernel.batch)).toBe(true);
      positive(kernel.gigabytesPerSecond);
      positive(kernel.floorShare);
    }
    expect(kernelsLines(report).length).toBeGreaterThan(report.kernels.length);
  });

  withEmulator(test)('times each op on CUDA, in bfloat16', async () => {
    jest.replaceProperty(process, 'env', { ...process.env, LXMERT_CUDA_LIBRARY: emulator! });
    const options = { ...sizes, device: 'cuda', precision: 'bfloat16', batches: [3], threads: [0, 1] } as const;
    const report = await benchKernels({ ...options, parameters: 2 ** 17 });
    expect(report).toMatchObject({ precision: 'bfloat16', device: expect.stringMatching(/^cuda: emulated/) });
    expect(report.rates).toHaveLength(1);
    expect(new Set(report.kernels.map(({ op }) => op))).toEqual(new Set(timedOps));
    for (const kernel of report.kernels) [kernel.gigabytesPerSecond, kernel.floorShare].forEach(positive);
    // As in a step, rows have a multiple of 64 columns.
    const words = report.kernels.filter(
      ({ op, shape }) => op === 'softmaxCrossEntropyForward' && /^masked/.test(shape),
    );
    expect(words.map(({ shape }) => Number(shape.split(' ')[1]) % 64)).toEqual([0]);
    expect(kernelsLines(report)[1]).toMatch(/^bfloat16, rates: products/);
  });

  test('refuses an unknown op', async () => {
    const options = { ...sizes, batches: [2], threads: [1], ops: ['tanhForwards'] };
    await expect(benchKernels(options)).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('no op "tanhForwards"'),
    });
  });
});

describe('bench answers', () => {
  test('gives its JSON form, with a peer', async () => {
    const options = { ...sizes, batches: [1, 3], steps: 2, warmup: 1, threads: 1, peerPython: program('standIn') };
    const report = await benchAnswers(options);
    expect(report.batches.map(({ batch }) => batch)).toEqual([1, 3]);
    for (const batch of report.batches) {
      positive(batch.gflops);
      expect(batch.questionsPerSecond).toBeCloseTo((1000 * batch.batch) / batch.milliseconds.median);
      expect(batch.peer).toMatchObject({ samplesPerSecond: batch.batch / 2, milliseconds: { median: 2000 } });
    }
    expect(report.peer).toMatchObject({ name: 'stand-in', peakMemoryBytes: 2 ** 20 });
    expect(answersLines(report).join('\n')).toContain('3 at a time');
  });
});

import { totalmem } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Engine, fill, type Tensor } from '../../../src/engine/index.js';
import { loadAddon } from '../../../src/engine/load.js';
import { endedWell, runChild, type Child } from './runChild.js';

let engine: Engine;
let tensor: Tensor;
beforeEach(() => {
  engine = Engine.create({ device: 'cpu', threads: 1 });
  engine.reserve('state', 4096);
  tensor = engine.tensor('state', 0, [4]);
  fill(engine, tensor, 8);
});
afterEach(() => engine.dispose());

const stillWorks = async (): Promise<void> => {
  expect([...(await engine.readFloats(tensor))]).toEqual([8, 8, 8, 8]);
  expect(engine.memory().state).toBe(4096);
};

/** A child whose limit of address space is 700 MiB above the space that it needs without engines. */
async function runLimited(mode: string): Promise<Child<Readonly<Record<string, unknown>>>> {
  const { kibibytes } = (await runChild<{ kibibytes: number }>('limits.mjs', ['none'])).report;
  return runChild('limits.mjs', [mode], { addressSpace: kibibytes + 700 * 1024 });
}

interface FuzzReport {
  /** The number of calls by their result: a value, a promise that resolved, or the code of an error. */
  readonly returned: number;
  readonly resolved: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Errors without an lxmert code. */
  readonly strange: readonly string[];
  /** The values that two engines read afterwards. */
  readonly values: readonly number[];
}

describe('reserve', () => {
  test.each([
    ['more than any machine has', 2 ** 53 - 1],
    ['an exabyte', 2 ** 50],
    ['a little more than this machine has', totalmem() + 2 ** 30],
  ])('%s gives OUT_OF_MEMORY with the available memory, and changes nothing', async (_, bytes) => {
    const message = expect.stringMatching(/^arenas of \S+ GiB do not fit: .* \S+ GiB of memory/);
    const error = { name: 'LxmertError', code: 'OUT_OF_MEMORY', message };
    expect(() => engine.reserve('workspace', bytes)).toThrow(expect.objectContaining(error));
    await stillWorks();
  });

  test.each([-1, 0.5, NaN, Infinity, 2 ** 53])('%d bytes gives BAD_ARGUMENT', async (bytes) => {
    expect(() => engine.reserve('state', bytes)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
    await stillWorks();
  });

  test('counts all engines of the process, but not those that have ended', async () => {
    const limit = process.constrainedMemory();
    const machine = limit > 0 && limit < totalmem() ? limit : totalmem();
    const share = Math.floor(0.6 * machine);
    const other = Engine.create({ device: 'cpu', threads: 1 });
    other.reserve('state', share); // no page is used, so the arena takes no memory
    const held = { code: 'OUT_OF_MEMORY', message: expect.stringMatching(/other engines hold [\d.]+ GiB/) };
    expect(() => engine.reserve('workspace', share)).toThrow(expect.objectContaining(held));
    expect(() => other.reserve('workspace', share)).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY' }));
    other.reserve('state', share + 4096); // replaces the old memory
    await other.dispose();
    engine.reserve('workspace', share);
    engine.reserve('workspace', 0);
    await stillWorks();
  });

  test('the system refuses memory', async () => {
    const child = await runLimited('reserve');
    expect(child).toMatchObject(endedWell);
    expect(child.report).toMatchObject({ value: 3, refused: { code: 'OUT_OF_MEMORY' } });
  });
});

describe('a kernel that fails', () => {
  test('makes the engine refuse all later work with the same error', async () => {
    const child = await runLimited('kernel');
    expect(child).toMatchObject(endedWell);
    const error = { code: 'OUT_OF_MEMORY', message: expect.stringContaining('kernel') };
    const { before, dispose, target, ...after } = child.report;
    expect(after).toMatchObject({ read: error, upload: error, synchronize: error });
    expect({ before, dispose, target }).toEqual({ before: 'done', dispose: 'done', target: -1 });
  });
});

describe('sources and targets', () => {
  test('a detached source is refused', async () => {
    const source = new Float32Array(4);
    structuredClone(source.buffer, { transfer: [source.buffer] });
    const refused = { code: 'BAD_ARGUMENT', message: expect.stringContaining('0 bytes into a tensor [4] of 16') };
    await expect(engine.upload(tensor, source)).rejects.toMatchObject(refused);
    await stillWorks();
  });

  test('a source that is transferred, shrunk, changed or shared while it waits arrives with its old values', async () => {
    const child = await runChild('sources.mjs', [], { node: ['--expose-gc'] });
    expect(child).toMatchObject(endedWell);
    const names = ['transferred', 'transferredToWorker', 'shrunk', 'changed', 'shared', 'grown', 'dropped'];
    expect(child.report).toEqual({ results: Object.fromEntries(names.map((name) => [name, true])) });
  });

  test('a tensor without elements can be uploaded and read', async () => {
    const nothing = engine.tensor('state', 4096, [0, 7]);
    await engine.upload(nothing, new Float32Array(0));
    expect(await engine.read(nothing)).toHaveLength(0);
    await stillWorks();
  });
});

describe('the addon itself', () => {
  test.each([undefined, null, 1, 'engine', {}, [], new Float32Array(4)])('%p is not an engine', (handle) => {
    const addon = loadAddon();
    const foreign = handle as never;
    const calls = {
      reserve: () => addon.reserve(foreign, 0, 1),
      enqueue: () => addon.enqueue(foreign, 0, new Float64Array(1), 1),
      upload: () => addon.upload(foreign, 0, 0, new Float32Array(1)),
      read: () => addon.read(foreign, 0, 0, new Float32Array(1)),
      synchronize: () => addon.synchronize(foreign),
      dispose: () => addon.dispose(foreign),
    };
    for (const call of Object.values(calls))
      expect(call).toThrow(
        expect.objectContaining({ code: 'BAD_ARGUMENT', message: 'the first argument is not an engine' }),
      );
  });

  test.each([1, 2, 3])('survives arguments of every kind (seed %i)', async (seed) => {
    const child = await runChild<FuzzReport>('fuzz.mjs', [String(seed), '10000']);
    expect(child).toMatchObject(endedWell);
    const { strange, values, refused, resolved, returned } = child.report;
    expect(strange).toEqual([]);
    expect(values).toEqual([1, 2]);
    expect(Math.min(refused['BAD_ARGUMENT'], refused['DISPOSED'], resolved, returned)).toBeGreaterThan(100);
  });
});

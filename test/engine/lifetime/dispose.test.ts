import { describe, expect, test } from '@jest/globals';
import { Engine } from '../../../src/engine/index.js';
import { emulator, withEmulator } from '../../support/emulator.js';
import { endedWell, runChild } from './runChild.js';
import { matrixProduct } from './work.js';

interface Report {
  readonly values: readonly number[];
  /** Reads that were settled when dispose returned, and when its promise resolved. */
  readonly doneAtCall: number;
  readonly doneAtDisposal: number;
  /** Error codes of calls during the drain, and after it. */
  readonly late: Readonly<Record<string, string>>;
  readonly later: string;
  readonly threads: number;
  /** MiB. */
  readonly taken: number;
  readonly kept: number;
}

describe('dispose', () => {
  test('drains the queue, settles pending promises, ends the threads and releases the memory', async () => {
    const child = await runChild<Report>('dispose.mjs');
    expect(child).toMatchObject(endedWell);
    const { values, doneAtCall, doneAtDisposal, late, later, threads, taken, kept } = child.report;
    expect(values).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect({ doneAtCall, doneAtDisposal }).toEqual({ doneAtCall: 0, doneAtDisposal: 20 });
    const refused = {
      run: 'DISPOSED',
      reserve: 'DISPOSED',
      read: 'DISPOSED',
      upload: 'DISPOSED',
      synchronize: 'DISPOSED',
    };
    expect(late).toEqual(refused);
    expect(later).toBe('DISPOSED');
    expect(threads).toBe(0);
    expect(taken).toBeGreaterThan(390);
    expect(kept).toBeLessThan(30);
  });

  test('of the typed engine: a second call is allowed, and all other later calls are refused', async () => {
    const engine = Engine.create({ device: 'cpu', threads: 2 });
    const product = matrixProduct(engine, 512);
    const tensor = engine.tensor('state', 0, [4]);
    await engine.upload(tensor, Float32Array.of(1, 2, 3, 4));
    product();
    const read = engine.readFloats(tensor);
    const disposed = [engine.dispose(), engine.dispose()];
    const refused = { name: 'LxmertError', code: 'DISPOSED' };
    expect(product).toThrow(expect.objectContaining(refused));
    expect(() => engine.reserve('state', 64)).toThrow(expect.objectContaining(refused));
    await expect(engine.read(tensor)).rejects.toMatchObject(refused);
    await expect(engine.upload(tensor, new Float32Array(4))).rejects.toMatchObject(refused);
    await expect(engine.synchronize()).rejects.toMatchObject(refused);
    expect([...(await read)]).toEqual([1, 2, 3, 4]);
    await Promise.all(disposed);
    await engine.dispose();
  });

  withEmulator(test)('of an engine whose GPU has failed: the process continues', async () => {
    const child = await runChild('brokenDevice.mjs', [emulator ?? '']);
    expect(child).toMatchObject(endedWell);
    expect(child.report).toEqual({ before: 'done', after: 'INTERNAL', reserve: 'INTERNAL', dispose: 'done' });
  });

  test('by `await using`', async () => {
    let kept: Engine;
    {
      await using engine = Engine.create({ device: 'cpu', threads: 1 });
      await engine.synchronize();
      kept = engine;
    }
    await expect(kept.synchronize()).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

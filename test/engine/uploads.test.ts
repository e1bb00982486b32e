import { afterEach, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../src/engine/index.js';
import { backends } from './support/backends.js';

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

describe.each(backends)('host memory on $name', ({ open }) => {
  test('is zeroed, and its uploads arrive with their values', async () => {
    const engine = open();
    engines.push(engine);
    engine.reserve('inputs', 1 << 16);
    const tensor = engine.tensor('inputs', 0, [1 << 14]);
    const values = new Float32Array(engine.hostMemory(4 << 14));
    expect(values.every((value) => value === 0)).toBe(true);
    for (let round = 1; round <= 5; round++) {
      values.fill(round);
      const uploaded = engine.upload(tensor, values, { ahead: false });
      const read = engine.readFloats(tensor);
      await uploaded;
      values.fill(-1);
      expect(new Set(await read)).toEqual(new Set([round]));
    }
  });

  test('parts of it can be uploaded, alternately to two slots', async () => {
    const engine = open();
    engines.push(engine);
    engine.reserve('inputs', 4096);
    const slots = [0, 1].map((i) => ({
      tensor: engine.tensor('inputs', 1024 * i, [256]),
      values: new Float32Array(engine.hostMemory(4096), 256, 256),
    }));
    const seen: Promise<Float32Array>[] = [];
    let sent: Promise<void>[] = [Promise.resolve(), Promise.resolve()];
    for (let step = 0; step < 8; step++) {
      const { tensor, values } = slots[step % 2];
      await sent[step % 2];
      values.fill(step);
      sent = sent.with(step % 2, engine.upload(tensor, values, { ahead: true }));
      seen.push(engine.readFloats(tensor));
    }
    expect((await Promise.all(seen)).map((values) => values[255])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test('stays alive while an upload needs it, even if the buffer is collected or transferred', async () => {
    const engine = open();
    engines.push(engine);
    engine.reserve('inputs', 1 << 20);
    const tensor = engine.tensor('inputs', 0, [1 << 18]);
    const uploads = Array.from({ length: 8 }, (_, i) => {
      const buffer = engine.hostMemory(1 << 20);
      const uploaded = engine.upload(tensor, new Float32Array(buffer).fill(i));
      structuredClone(buffer, { transfer: [buffer] });
      return uploaded;
    });
    globalThis.gc?.();
    await Promise.all(uploads);
    expect(new Set(await engine.readFloats(tensor))).toEqual(new Set([7]));
    const kept = engine.hostMemory(64);
    await engine.dispose();
    expect(new Uint8Array(kept)[63]).toBe(0);
    expect(() => engine.hostMemory(64)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });

  test('of 0 bytes is refused', () => {
    const engine = open();
    engines.push(engine);
    for (const bytes of [0, -1, 0.5, NaN, 2 ** 33 + 1, 2 ** 60])
      expect(() => engine.hostMemory(bytes)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
  });
});

describe.each(backends)('uploads ahead on $name', ({ open }) => {
  test('work that is enqueued later reads the new values, with two alternating slots', async () => {
    const engine = open();
    engines.push(engine);
    for (let round = 1; round <= 3; round++) {
      engine.reserve('inputs', 4096 * round); // the zeros must be written before the upload
      const slots = [0, 1].map((i) => engine.tensor('inputs', 1024 * i, [256]));
      const seen = Array.from({ length: 8 }, async (_, step) => {
        const slot = slots[step % 2];
        const uploaded = engine.upload(slot, new Float32Array(256).fill(round * 10 + step), { ahead: true });
        const values = await engine.readFloats(slot);
        await uploaded;
        return new Set(values);
      });
      expect(await Promise.all(seen)).toEqual(Array.from({ length: 8 }, (_, step) => new Set([round * 10 + step])));
    }
  });

  test('two consecutive uploads to the same place are refused, because work may still read the first', async () => {
    const engine = open();
    engines.push(engine);
    engine.reserve('inputs', 4096);
    const [low, high, both] = [
      engine.tensor('inputs', 0, [4]),
      engine.tensor('inputs', 64, [4]),
      engine.tensor('inputs', 0, [32]),
    ];
    await engine.upload(low, new Float32Array(4), { ahead: true });
    await expect(engine.upload(both, new Float32Array(32), { ahead: true })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringMatching(/the last upload had the same target/),
    });
    await engine.upload(high, new Float32Array(4), { ahead: true });
    await engine.upload(low, new Float32Array(4), { ahead: true });
    await engine.upload(low, new Float32Array(4)); // this upload is in order with all other work
  });
});

describe.each(backends)('float16 on $name', ({ open }) => {
  test('is stored in a separate arena and can be read; no op computes in it', async () => {
    const engine = open();
    engines.push(engine);
    engine.reserve('features', 64);
    engine.reserve('inputs', 64);
    expect(engine.memory()).toMatchObject({ features: 64, inputs: 64 });
    const kept = engine.tensor('features', 2, [2, 3], 'f16');
    // The smallest, the smallest normal and the largest number among them.
    await engine.upload(kept, Uint16Array.of(0x0001, 0x0400, 0x7bff, 0xc000, 0x3555, 0x8000));
    expect(await engine.readFloats(kept)).toEqual(Float32Array.of(2 ** -24, 2 ** -14, 65504, -2, 1365 / 4096, -0));
    const rows = { set: 'all', capacity: 2, split: 0, record: null } as const;
    const out = engine.tensor('inputs', 0, [2, 3]);
    const refused = (message: string) => expect.objectContaining({ code: 'BAD_ARGUMENT', message });
    expect(() => engine.run('fill', [1, kept])).toThrow(refused('fill: x is f16, expected the type of activations'));
    expect(() => engine.run('gatherRowsForward', [rows, 3, 2, kept, out, out])).toThrow(
      refused('gatherRowsForward: indices is f16, expected words of 4 bytes'),
    );
  });
});

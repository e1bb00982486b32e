import { afterEach, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../src/engine/index.js';
import { backends } from './support/backends.js';

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

describe.each(backends)('uploads ahead on $name', ({ open }) => {
  test('what is enqueued later finds the values, in two slots in turn', async () => {
    const engine = open();
    engines.push(engine);
    for (let round = 1; round <= 3; round++) {
      engine.reserve('inputs', 4096 * round); // its zeros come first
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

  test('twice to one place is refused: work may read it', async () => {
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
      message: expect.stringMatching(/to the same place/),
    });
    await engine.upload(high, new Float32Array(4), { ahead: true });
    await engine.upload(low, new Float32Array(4), { ahead: true });
    await engine.upload(low, new Float32Array(4)); // in order with all else
  });
});

describe.each(backends)('float16 on $name', ({ open }) => {
  test('is kept in an arena of its own and read back; no op computes in it', async () => {
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
    expect(() => engine.run('fill', [1, kept])).toThrow(
      refused('fill: x is f16, expected what activations are kept in'),
    );
    expect(() => engine.run('gatherRowsForward', [rows, 3, 2, kept, out, out])).toThrow(
      refused('gatherRowsForward: indices is f16, expected words of 4 bytes'),
    );
  });
});

import { afterEach, describe, expect, test } from '@jest/globals';
import { openDevice } from '../../src/engine/device.js';
import { fill, rowBlock, type Engine, type Tensor } from '../../src/engine/index.js';
import { loadAddon } from '../../src/engine/load.js';
import { backends } from './support/backends.js';

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

describe.each(backends)('lanes on $name', ({ open, options }) => {
  function start(): { engine: Engine; x: Tensor; rows: [Tensor, Tensor] } {
    const engine = open();
    engines.push(engine);
    engine.reserve('state', 4096);
    const x = engine.tensor('state', 0, [2, 8]);
    return { engine, x, rows: [rowBlock(x, 0, 1), rowBlock(x, 1, 1)] };
  }

  const work = ({ engine, x, rows }: ReturnType<typeof start>): void => {
    fill(engine, x, 9);
    engine.beside(
      () => [1, 2].forEach((value) => fill(engine, rows[0], value)),
      () => [3, 4].forEach((value) => fill(engine, rows[1], value)),
    );
  };

  test('run after all earlier work and before all later work', async () => {
    const world = start();
    const { engine, x } = world;
    const seen: Promise<Float32Array>[] = [];
    for (let i = 0; i < 20; i++) {
      work(world);
      seen.push(engine.readFloats(x));
      fill(engine, x, 0);
    }
    for (const values of await Promise.all(seen))
      expect([...values]).toEqual([...new Array<number>(8).fill(2), ...new Array<number>(8).fill(4)]);
  });

  test('are recorded and replayed', async () => {
    const world = start();
    const { engine, x } = world;
    const recording = engine.record(() => work(world));
    for (let i = 0; i < 4; i++) {
      fill(engine, x, 0);
      engine.replay(recording);
      expect((await engine.readFloats(x)).filter((_, n) => n % 8 === 7)).toEqual(Float32Array.of(2, 4));
    }
  });

  test('after a lane has failed, the engine works as before', async () => {
    const world = start();
    const { engine, x, rows } = world;
    const fail = (): void => {
      throw new Error('half-way');
    };
    const half = (): void =>
      engine.beside(
        () => fill(engine, rows[0], 1),
        () => (fill(engine, rows[1], 2), fail()),
      );
    expect(half).toThrow('half-way');
    expect(() => engine.record(half)).toThrow('half-way');
    work(world);
    expect((await engine.readFloats(x)).filter((_, n) => n % 8 === 7)).toEqual(Float32Array.of(2, 4));
  });

  test('the addon refuses a wrong lane number', async () => {
    const loaded = loadAddon();
    const { native } = openDevice(loaded, options);
    const addon = loaded as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const lane of [3, -1, 0.5, NaN, '1', undefined])
      expect(() => addon['enterLane'](native, lane)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
    for (const call of [[-1, 1, 3], [-1, 1, NaN], [-1, 1], [-1, 0], [-1], [-1, 2, 1, 1], [-3, 1, 1], [-0.5, 1, 1]])
      expect(() => addon['record'](native, Float64Array.from(call), call.length)).toThrow(
        expect.objectContaining({ code: 'BAD_ARGUMENT' }),
      );
    // This call that adds the gradients of ranks has too few numbers.
    expect(() => addon['record'](native, Float64Array.of(-2, 1, 1), 3)).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT' }),
    );
    // These calls have no effect in any order.
    for (const lane of [2, 2, 1, 0, 0, 1, 2]) addon['enterLane'](native, lane);
    await loaded.dispose(native);
  });
});

describe.each(backends.filter(({ name }) => !name.startsWith('cpu')))('lanes on $name are kept apart', ({ open }) => {
  const shared = /shares memory with a tensor of the other lane/;
  const start = (): Engine => {
    const engine = open();
    engines.push(engine);
    engine.reserve('state', 4096);
    engine.reserve('workspace', 4096);
    return engine;
  };

  test('memory that both lanes use is refused, even if it was released in between', () => {
    const engine = start();
    const x = engine.tensor('state', 0, [4, 8]);
    const twice = (first: Tensor, second: Tensor) => (): void =>
      engine.beside(
        () => fill(engine, first, 1),
        () => fill(engine, second, 2),
      );
    expect(twice(x, rowBlock(x, 3, 1))).toThrow(shared);
    expect(twice(rowBlock(x, 0, 2), rowBlock(x, 1, 2))).toThrow(shared);
    expect(twice(rowBlock(x, 0, 2), rowBlock(x, 2, 2))).not.toThrow();

    const y = engine.workspace.allocate([8], engine.activationDType, 'top');
    const reuse = (): void =>
      engine.beside(
        () => fill(engine, y, 1),
        () => {
          engine.workspace.release(y);
          fill(engine, engine.workspace.allocate([8], engine.activationDType, 'top'), 2);
        },
      );
    expect(reuse).toThrow(shared);
  });

  test('lanes inside of a lane are refused', () => {
    const engine = start();
    const nothing = (): void => undefined;
    expect(() => engine.beside(() => engine.beside(nothing, nothing), nothing)).toThrow('lanes inside of a lane');
    expect(() => engine.beside(nothing, nothing)).not.toThrow();
  });
});

import { afterEach, describe, expect, test } from '@jest/globals';
import { fill, Recordings, type Engine, type Tensor } from '../../src/engine/index.js';
import { backends } from './support/backends.js';

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

describe.each(backends)('recordings on $name', ({ open }) => {
  function start(): { engine: Engine; x: Tensor; value: () => Promise<number> } {
    const engine = open();
    engines.push(engine);
    engine.reserve('state', 4096);
    const x = engine.tensor('state', 0, [8]);
    return { engine, x, value: async () => (await engine.readFloats(x))[7] };
  }

  test('recorded ops run when the recording is replayed, in order with all other work', async () => {
    const { engine, x, value } = start();
    const recording = engine.record(() => {
      fill(engine, x, 1);
      fill(engine, x, 2);
    });
    const seen = [value()];
    for (let i = 0; i < 3; i++) {
      fill(engine, x, 3);
      seen.push(value());
      engine.replay(recording);
      seen.push(value());
    }
    expect(await Promise.all(seen)).toEqual([0, 3, 2, 3, 2, 3, 2]);
    engine.forget(recording);
    expect(() => engine.replay(recording)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
  });

  test('a recording cannot be replayed after an arena was reserved again', async () => {
    const { engine, x } = start();
    const recording = engine.record(() => fill(engine, x, 1));
    engine.replay(recording);
    expect(engine.isLive(recording)).toBe(true);
    engine.reserve('inputs', 64);
    expect(engine.isLive(recording)).toBe(false);
    expect(() => engine.replay(recording)).toThrow(/reserved since/);
    await engine.synchronize();
  });

  test('a call that cannot be recorded is an error, and the engine works as before', async () => {
    const { engine, x, value } = start();
    expect(() => engine.record(() => engine.run('fill', [1]))).toThrow(/fill: x is missing/);
    expect(() => engine.record(() => void engine.record(() => undefined))).toThrow(/record inside of a recording/);
    expect(() =>
      engine.record(() => {
        fill(engine, x, 1);
        throw new RangeError('mine');
      }),
    ).toThrow('mine');
    for (const wait of [() => engine.upload(x, new Float32Array(8)), () => engine.readFloats(x)])
      await expect(new Promise((done) => engine.record(() => done(wait())))).rejects.toThrow(/inside of a recording/);
    fill(engine, x, 2);
    expect(await value()).toBe(2);
  });

  test('the least recently used recording is forgotten', async () => {
    const { engine, x, value } = start();
    const recordings = new Recordings<number>(engine, 2);
    const made: number[] = [];
    const run = async (key: number): Promise<void> => {
      const result = recordings.run(`${key}`, () => {
        made.push(key);
        fill(engine, x, key);
        return 10 * key;
      });
      expect(result).toBe(10 * key);
      expect(await value()).toBe(key);
    };
    for (const key of [1, 2, 1, 3, 1, 2]) await run(key);
    expect(made).toEqual([1, 2, 3, 2]);
    engine.reserve('inputs', 64);
    await run(1);
    expect(made).toEqual([1, 2, 3, 2, 1]);
  });

  test('an observer sees each op, and the profile counts them', async () => {
    const { engine, x } = start();
    const recordings = new Recordings<void>(engine, 2);
    const seen: string[] = [];
    const run = (): void => recordings.run('', () => fill(engine, x, 1));
    run();
    engine.observer = (op) => seen.push(op);
    run();
    run();
    engine.observer = null;
    engine.profile(true);
    for (let i = 0; i < 3; i++) run();
    expect(seen).toEqual(['fill', 'fill']);
    expect(await engine.readProfile()).toMatchObject([{ op: 'fill', calls: 3 }]);
  });
});

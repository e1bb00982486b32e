// A worker that uses engines in the way that `workerData.habit` names, until it is terminated.
import { parentPort, workerData } from 'node:worker_threads';
import { addon, arena, enqueue, fill, newEngine, product, tensor } from './addon.mjs';
import { sleep } from './process.mjs';

const size = 256;
const words = 1024;
const read = (engine) => addon.read(engine, arena.workspace, 0, new Float32Array(words));
const upload = (engine) => addon.upload(engine, arena.workspace, 0, new Float32Array(words).fill(1));

const habits = {
  /** It never returns to the event loop, so it is terminated in the middle of JavaScript or of a call. */
  calls() {
    const engine = newEngine({ size });
    for (;;) {
      fill(engine, arena.workspace, words, 1);
      upload(engine).catch(() => undefined);
      read(engine).catch(() => undefined);
    }
  },
  /** It causes errors all the time: calls throw, and promises reject. */
  errors() {
    const engine = newEngine({ size });
    for (;;) {
      for (const wrong of [() => enqueue(engine, 'fill', []), () => addon.reserve({}, 0, 1), () => read(null)]) {
        try {
          wrong();
        } catch (error) {
          if (error.code !== 'BAD_ARGUMENT') throw error;
        }
      }
    }
  },
  /** It has a long queue and promises that are never awaited. */
  async queue() {
    const engine = newEngine();
    for (;;) {
      for (let i = 0; i < 100; i++) product(engine);
      for (let i = 0; i < 20; i++) void read(engine);
      await sleep(1);
    }
  },
  /** Results arrive while the worker ends. */
  async results() {
    const engine = newEngine({ size });
    for (;;) await Promise.all([product(engine, size), read(engine), upload(engine), addon.synchronize(engine)]);
  },
  /** It makes many engines. Some are disposed and some are dropped; memory grows while work is queued. */
  async engines() {
    for (let i = 0; ; i++) {
      const engine = newEngine({ size });
      product(engine, size);
      addon.reserve(engine, arena.workspace, 4 * size * size * 4);
      addon.reserve(engine, arena.state, 4 * words);
      enqueue(engine, 'fill', [2, ...tensor(arena.state, 0, words)]);
      if (i % 2 === 0) await addon.dispose(engine);
      else await addon.synchronize(engine);
    }
  },
};

await addon.synchronize(newEngine({ size }));
parentPort.postMessage('busy');
await habits[workerData.habit]();

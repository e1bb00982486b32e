// A worker that does to its engines whatever it can, in the way that `workerData.habit` says, until it is terminated.
import { parentPort, workerData } from 'node:worker_threads';
import { addon, arena, enqueue, fill, newEngine, product, tensor } from './addon.mjs';
import { sleep } from './process.mjs';

const size = 256;
const words = 1024;
const read = (engine) => addon.read(engine, arena.workspace, 0, new Float32Array(words));
const upload = (engine) => addon.upload(engine, arena.workspace, 0, new Float32Array(words).fill(1));

const habits = {
  /** Never returns to the event loop: termination comes in the middle of JavaScript or of a call. */
  calls() {
    const engine = newEngine({ size });
    for (;;) {
      fill(engine, arena.workspace, words, 1);
      upload(engine).catch(() => undefined);
      read(engine).catch(() => undefined);
    }
  },
  /** Errors all the time: they are thrown, and promises reject. */
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
  /** A long queue behind promises that nobody will see. */
  async queue() {
    const engine = newEngine();
    for (;;) {
      for (let i = 0; i < 100; i++) product(engine);
      for (let i = 0; i < 20; i++) void read(engine);
      await sleep(1);
    }
  },
  /** Results arrive while it ends. */
  async results() {
    const engine = newEngine({ size });
    for (;;) await Promise.all([product(engine, size), read(engine), upload(engine), addon.synchronize(engine)]);
  },
  /** Engines come and go; some are disposed, some dropped, memory grows under queued work. */
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

// Engines that nobody disposes. The argument says how they are dropped.
import { addon, arena, fill, newEngine, product } from './addon.mjs';
import { engineThreads, mebibyte, ownMiB, report, sleep, until } from './process.mjs';

/** Collects until no more than these threads of engines are there: an engine ends in a finalizer, a turn later. */
const collect = (threads = 0) => until(() => (globalThis.gc(), engineThreads() <= threads));

/** An engine with memory that it has really used, and threads that have worked. */
async function usedEngine() {
  const engine = newEngine({ size: 256 });
  product(engine, 256);
  addon.reserve(engine, arena.state, 32 * mebibyte);
  fill(engine, arena.state, 8 * mebibyte, 1);
  await addon.synchronize(engine);
}

/** Starts an engine on many products, sees its thread, and drops it. */
async function busyEngine(products) {
  const engine = newEngine();
  const before = engineThreads();
  for (let i = 0; i < products; i++) product(engine);
  const started = await until(() => engineThreads() > before);
  product(engine); // it was there until now
  return started;
}

const modes = {
  /** One after the other, idle. */
  async dropped() {
    await usedEngine();
    let ended = await collect();
    const before = ownMiB();
    let threads = 0;
    for (let i = 0; i < 40 && ended; i++) {
      await usedEngine();
      threads = Math.max(threads, engineThreads());
      ended = await collect();
    }
    return { threads, ended, kept: ownMiB() - before };
  },

  /** With work of ten minutes, which nobody waits for. */
  async queued() {
    const engine = newEngine();
    product(engine);
    const start = performance.now();
    await addon.synchronize(engine);
    const one = performance.now() - start;
    const threads = engineThreads();
    const started = await busyEngine(600_000 / one);
    const ended = started && (await collect(threads));
    return { ended, first: (await addon.synchronize(engine)) === undefined };
  },

  /** With a promise that somebody waits for. */
  async pending(products = 20) {
    let engine = newEngine();
    fill(engine, arena.workspace, 4, 42);
    addon.reserve(engine, arena.state, mebibyte);
    fill(engine, arena.state, 4, 43);
    for (let i = 0; i < products; i++) product(engine);
    const read = addon.read(engine, arena.state, 0, new Float32Array(4));
    engine = null;
    let collections = 0;
    let settled = false;
    const values = read.finally(() => (settled = true));
    while (!settled) {
      globalThis.gc();
      collections++;
      await sleep(5);
    }
    const result = { value: (await values)[3], collections, ended: await collect() };
    // The collector was slow, or the engine fast.
    return collections > 5 || products > 5000 ? result : modes.pending(4 * products);
  },

  /** The collector is never called, and little else than engines would make it run. */
  async unasked() {
    for (let made = 1; ; made++) {
      const engine = addon.createEngine(1);
      addon.reserve(engine, arena.state, 32 * mebibyte);
      await addon.synchronize(engine); // its thread is there
      if (made % 100 > 0) continue; // to look makes garbage, too
      const threads = engineThreads();
      if (made === 200 || threads < made / 2) return { made, threads };
    }
  },
};

report(await modes[process.argv[2]]());

// Makes engines that are never disposed. The argument determines how they are dropped.
import { addon, arena, fill, newEngine, product } from './addon.mjs';
import { engineThreads, mebibyte, ownMiB, report, sleep, until } from './process.mjs';

/** Collects garbage until at most this number of engine threads exist. An engine ends in a finalizer, one turn of the loop later. */
const collect = (threads = 0) => until(() => (globalThis.gc(), engineThreads() <= threads));

/** Makes an engine whose memory and threads have been used. */
async function usedEngine() {
  const engine = newEngine({ size: 256 });
  product(engine, 256);
  addon.reserve(engine, arena.state, 32 * mebibyte);
  fill(engine, arena.state, 8 * mebibyte, 1);
  await addon.synchronize(engine);
}

/** Starts an engine with many products, checks that its thread exists, and drops the engine. */
async function busyEngine(products) {
  const engine = newEngine();
  const before = engineThreads();
  for (let i = 0; i < products; i++) product(engine);
  const started = await until(() => engineThreads() > before);
  product(engine); // keeps the engine alive until here
  return started;
}

const modes = {
  /** Idle engines, one after the other. */
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

  /** Engines with work for ten minutes, for which no promise waits. */
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

  /** An engine with a promise that is awaited. */
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
    // The engine finished before garbage was collected; try again.
    return collections > 5 || products > 5000 ? result : modes.pending(4 * products);
  },

  /** gc() is never called. The garbage collector runs almost only because of the memory of engines. */
  async unasked() {
    for (let made = 1; ; made++) {
      const engine = addon.createEngine(1);
      addon.reserve(engine, arena.state, 32 * mebibyte);
      await addon.synchronize(engine); // now its thread exists
      if (made % 100 > 0) continue; // a check makes garbage, so there are few checks
      const threads = engineThreads();
      if (made === 200 || threads < made / 2) return { made, threads };
    }
  },
};

report(await modes[process.argv[2]]());

// Engines that nobody disposes. The argument says how they are dropped.
import { addon, arena, fill, newEngine, product } from './addon.mjs';
import { engineThreads, mebibyte, report, residentMiB, sleep, until } from './process.mjs';

/** Several times: a collected engine ends in a finalizer that comes a turn later. */
async function collect() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await sleep(1);
  }
}

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
    await collect();
    const before = residentMiB();
    let threads = 0;
    let resident = 0;
    for (let i = 0; i < 40; i++) {
      await usedEngine();
      threads = Math.max(threads, engineThreads());
      resident = Math.max(resident, residentMiB() - before);
      await collect();
    }
    const ended = await until(() => engineThreads() === 0);
    return { threads, ended, resident, kept: residentMiB() - before };
  },

  /** With work that would take long, which nobody waits for. */
  async queued() {
    const engine = newEngine();
    product(engine);
    const start = performance.now();
    await addon.synchronize(engine);
    const one = performance.now() - start;
    const threads = engineThreads();
    const started = await busyEngine(20_000 / one);
    const dropped = performance.now();
    await collect();
    const ended = started && (await until(() => engineThreads() === threads));
    return {
      ended,
      seconds: (performance.now() - dropped) / 1000,
      first: (await addon.synchronize(engine)) === undefined,
    };
  },

  /** With a promise that somebody waits for. */
  async pending() {
    let engine = newEngine();
    fill(engine, arena.workspace, 4, 42);
    addon.reserve(engine, arena.state, mebibyte);
    fill(engine, arena.state, 4, 43);
    for (let i = 0; i < 20; i++) product(engine);
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
    const result = { value: (await values)[3], collections };
    const ended = await until(() => (globalThis.gc(), engineThreads() === 0));
    return { ...result, ended };
  },

  /** The collector is never called, and little else than engines would make it run. */
  async unasked() {
    let first = false;
    for (let i = 0; i < 100; i++) {
      addon.reserve(addon.createEngine(1), arena.state, 128 * mebibyte);
      if (i === 0) first = await until(() => engineThreads() > 0);
      await sleep(0);
    }
    return { first, threads: engineThreads() };
  },
};

report(await modes[process.argv[2]]());

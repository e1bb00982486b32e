// Makes ten thousand calls of each kind; memory must not grow. Arguments: the number of rounds, and the tolerated growth in MiB.
import { addon, arena, fill, newEngine } from './addon.mjs';
import { ownMiB, report } from './process.mjs';

const [rounds, hardly] = process.argv.slice(2).map(Number);
const words = 4096;
const size = 256;
const engine = newEngine({ threads: 1, size });
addon.reserve(engine, arena.state, 4 * words);

const shared = new Float32Array(new SharedArrayBuffer(4 * words));
const plain = new Float32Array(words);

const calls = {
  read: () => addon.read(engine, arena.state, 0, new Float32Array(words)),
  upload: () => addon.upload(engine, arena.state, 0, plain),
  uploadShared: () => addon.upload(engine, arena.state, 0, shared),
  run: () => {
    fill(engine, arena.state, words, 1);
    return addon.synchronize(engine);
  },
  reserve: () => {
    addon.reserve(engine, arena.inputs, 4 * words);
    return addon.synchronize(engine);
  },
  refused: () => {
    for (const wrong of [
      () => fill(engine, arena.state, words + 1, 1),
      () => addon.read(engine, arena.state, 1, plain),
    ]) {
      try {
        wrong();
      } catch (error) {
        if (error.code !== 'BAD_ARGUMENT') throw error;
      }
    }
    return addon.synchronize(engine);
  },
  engines: () => addon.dispose(addon.createEngine(1)),
};

const grown = {};
for (const [name, call] of Object.entries(calls)) {
  const batch = 100;
  const run = async (n) => {
    for (let i = 0; i < n; i += batch) {
      await Promise.all(Array.from({ length: batch }, call));
      if (i % 1000 === 0) globalThis.gc();
    }
    globalThis.gc();
  };
  const count = name === 'engines' ? rounds / 10 : rounds;
  await run(count / 4);
  // A thread of the garbage collector may return freed memory later. A leak appears in every round.
  for (let tries = 0; tries < 5; tries++) {
    const before = ownMiB();
    await run(count);
    grown[name] = Number((ownMiB() - before).toFixed(1));
    if (grown[name] <= hardly) break;
  }
}
await addon.dispose(engine);
report({ grown });

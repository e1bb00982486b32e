// An engine is disposed while it works on large arenas.
import { addon, arena, fill, newEngine, product } from './addon.mjs';
import { engineThreads, mebibyte, ownMiB, report, until } from './process.mjs';

const codeOf = (call) => {
  try {
    call();
    return 'none';
  } catch (error) {
    return error.code;
  }
};

const large = 200 * mebibyte;
// The first engine loads OpenMP and oneDNN, whose memory is not released.
const first = newEngine();
product(first);
await addon.dispose(first);
const before = ownMiB();

const engine = newEngine();
for (const number of [arena.parameters, arena.state]) {
  addon.reserve(engine, number, large);
  fill(engine, number, large / 4, 1);
}
await addon.synchronize(engine);
const filled = ownMiB();

let done = 0;
const reads = [];
for (let i = 0; i < 20; i++) {
  product(engine);
  fill(engine, arena.parameters, 4, i);
  reads.push(addon.read(engine, arena.parameters, 0, new Float32Array(4)).then((values) => (done++, values[3])));
}
const disposed = addon.dispose(engine);
const doneAtCall = done;
const late = {
  run: codeOf(() => fill(engine, arena.parameters, 4, 0)),
  reserve: codeOf(() => addon.reserve(engine, arena.state, 0)),
  read: codeOf(() => addon.read(engine, arena.parameters, 0, new Float32Array(4))),
  upload: codeOf(() => addon.upload(engine, arena.parameters, 0, new Float32Array(4))),
  synchronize: codeOf(() => addon.synchronize(engine)),
};
await disposed;
const doneAtDisposal = done;
const threads = (await until(() => engineThreads() === 0)) ? 0 : engineThreads();
const after = ownMiB();
await addon.dispose(engine);
await addon.dispose(engine);

report({
  values: await Promise.all(reads),
  doneAtCall,
  doneAtDisposal,
  late,
  later: codeOf(() => addon.synchronize(engine)),
  threads,
  taken: filled - before,
  kept: after - before,
});

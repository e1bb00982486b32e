// Sources of uploads whose memory is freed, changed or shared while the upload waits for other work.
import { Worker } from 'node:worker_threads';
import { addon, arena, newEngine, product } from './addon.mjs';
import { mebibyte, report, sleep } from './process.mjs';

const words = 4 * mebibyte; // 16 MiB: freed memory of this size is unmapped, and reading it would end the process
const engine = newEngine();
addon.reserve(engine, arena.state, 4 * words);

/**
 * Uploads while the engine is busy, calls `meanwhile`, and returns whether all values at the time of the call arrived.
 * If the engine finished its work before, tries again with more work.
 */
async function arrives(makeSource, meanwhile, products = 60) {
  const source = await makeSource();
  source.fill(source.length % 97);
  const expected = source[0];
  for (let i = 0; i < products; i++) product(engine);
  let settled = false;
  const uploaded = addon.upload(engine, arena.state, 0, source).then(() => (settled = true));
  await meanwhile(source);
  const inTime = !settled;
  await uploaded;
  const values = await addon.read(engine, arena.state, 0, new Float32Array(source.length || words));
  const arrived = values.every((value) => value === expected);
  return inTime || !arrived || products > 5000 ? inTime && arrived : arrives(makeSource, meanwhile, 4 * products);
}

const floats = () => new Float32Array(words);
const collect = () => globalThis.gc();

const transferred = () =>
  arrives(floats, async (source) => {
    globalThis.structuredClone(source.buffer, { transfer: [source.buffer] });
    collect();
    await sleep(1);
    collect();
  });

async function transferredToWorker() {
  const code = 'require("node:worker_threads").parentPort.on("message", () => undefined)';
  let worker;
  const make = async () => {
    worker = new Worker(code, { eval: true });
    await new Promise((resolve) => worker.once('online', resolve));
    return floats();
  };
  return arrives(make, async (source) => {
    worker.postMessage(source, [source.buffer]);
    await worker.terminate();
  });
}

const shrunk = () =>
  arrives(
    () => new Float32Array(new ArrayBuffer(4 * words, { maxByteLength: 4 * words }), 0, words),
    (source) => source.buffer.resize(0),
  );

const changed = () => arrives(floats, (source) => source.fill(-1));

const shared = () => arrives(() => new Float32Array(new SharedArrayBuffer(4 * words)), collect);

const grown = () =>
  arrives(
    () => new Float32Array(new SharedArrayBuffer(4 * words, { maxByteLength: 8 * words }), 0, words),
    (source) => source.buffer.grow(8 * words),
  );

/** Only the read has a reference to its target, and the target stays alive. */
async function dropped() {
  for (let i = 0; i < 10; i++) product(engine);
  await addon.upload(engine, arena.state, 0, new Float32Array(words).fill(6));
  for (let i = 0; i < 10; i++) product(engine);
  const read = addon.read(engine, arena.state, 0, new Float32Array(words));
  globalThis.gc();
  await sleep(1);
  globalThis.gc();
  return (await read).every((value) => value === 6);
}

const results = {};
for (const test of [transferred, transferredToWorker, shrunk, changed, shared, grown, dropped])
  results[test.name] = await test();
report({ results });

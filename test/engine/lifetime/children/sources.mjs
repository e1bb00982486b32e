// Sources of uploads whose memory goes away, is changed or is shared, while the upload waits behind other work.
import { Worker } from 'node:worker_threads';
import { addon, arena, newEngine, product } from './addon.mjs';
import { mebibyte, report, sleep } from './process.mjs';

const words = 4 * mebibyte; // 16 MiB: freed memory of this size is unmapped, and reading it would end the process
const engine = newEngine();
addon.reserve(engine, arena.state, 4 * words);

/** Uploads while the engine is busy, does `meanwhile`, and says whether all values that were there at the call arrived. */
async function arrives(source, meanwhile) {
  source.fill(source.length % 97);
  const expected = source[0];
  for (let i = 0; i < 60; i++) product(engine);
  let settled = false;
  const uploaded = addon.upload(engine, arena.state, 0, source).then(() => (settled = true));
  await meanwhile();
  const inTime = !settled;
  await uploaded;
  const values = await addon.read(engine, arena.state, 0, new Float32Array(source.length || words));
  return inTime && values.every((value) => value === expected);
}

async function transferred() {
  const source = new Float32Array(words);
  return arrives(source, async () => {
    globalThis.structuredClone(source.buffer, { transfer: [source.buffer] });
    globalThis.gc();
    await sleep(1);
    globalThis.gc();
  });
}

async function transferredToWorker() {
  const source = new Float32Array(words);
  const worker = new Worker('require("node:worker_threads").parentPort.on("message", () => undefined)', { eval: true });
  await new Promise((resolve) => worker.once('online', resolve));
  return arrives(source, async () => {
    worker.postMessage(source, [source.buffer]);
    await worker.terminate();
  });
}

async function shrunk() {
  const buffer = new ArrayBuffer(4 * words, { maxByteLength: 4 * words });
  const source = new Float32Array(buffer, 0, words);
  return arrives(source, () => buffer.resize(0));
}

async function changed() {
  const source = new Float32Array(words);
  return arrives(source, () => source.fill(-1));
}

async function shared() {
  return arrives(new Float32Array(new SharedArrayBuffer(4 * words)), () => globalThis.gc());
}

async function grown() {
  const buffer = new SharedArrayBuffer(4 * words, { maxByteLength: 8 * words });
  return arrives(new Float32Array(buffer, 0, words), () => buffer.grow(8 * words));
}

/** The target of a read is kept, though nobody holds it. */
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

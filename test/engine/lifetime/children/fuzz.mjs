// Calls every function of the addon with all kinds of arguments, including right ones. Arguments: seed, number of calls.
import { addon, arena, enqueue, tensor } from './addon.mjs';
import { report } from './process.mjs';

const [seed, calls] = process.argv.slice(2).map(Number);
let state = seed >>> 0;
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
const pick = (list) => list[random(list.length)];

const detached = new Float32Array(8);
globalThis.structuredClone(detached.buffer, { transfer: [detached.buffer] });
const resizable = new ArrayBuffer(64, { maxByteLength: 4096 });
const tracking = new Float64Array(resizable);
const outOfBounds = new Float64Array(resizable, 32);
const growable = new Float64Array(new SharedArrayBuffer(64, { maxByteLength: 4096 }));
resizable.resize(16);

const disposed = addon.createEngine(1);
await addon.dispose(disposed);
const engines = [addon.createEngine(1), addon.createEngine(2)];
const words = 4096;
for (const engine of engines) for (const number of Object.values(arena)) addon.reserve(engine, number, 4 * words);

const numbers = [
  0,
  1,
  2,
  3,
  4,
  5,
  24,
  25,
  64,
  4096,
  16384,
  -1,
  -0,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e300,
  NaN,
  Infinity,
];
const garbage = [
  undefined,
  null,
  true,
  '',
  'engine',
  10n,
  Symbol('x'),
  {},
  [],
  () => undefined,
  new Date(),
  new Proxy({}, {}),
  new Proxy(new Float64Array(4), {}),
  Object.create(Float64Array.prototype),
  new DataView(new ArrayBuffer(8)),
  new ArrayBuffer(8),
  new SharedArrayBuffer(8),
  Promise.resolve(),
  { valueOf: () => 1 },
  {
    get length() {
      throw new Error('a getter');
    },
  },
];
const arrays = [
  () => new Float64Array(0),
  () => new Float64Array(128),
  () => new Float32Array(16),
  () => new Float32Array(words),
  () => new Uint8Array(new ArrayBuffer(17), 1, 16),
  () => new BigInt64Array(4),
  () => new Float32Array(new SharedArrayBuffer(64)),
  () => Buffer.alloc(12),
  () => detached,
  () => tracking,
  () => outOfBounds,
  () => growable,
  () => new (class extends Float32Array {})(8),
];

/** The arguments of an op, which are often nearly right. */
function opArguments() {
  const args = new Float64Array(128);
  for (let i = 0; i < args.length; i++) {
    args[i] = random(3) === 0 ? pick(numbers) : pick([0, 1, 4, 16]);
  }
  if (random(2) === 0) args.set([pick(numbers), ...tensor(random(6) - 1, pick(numbers), pick(numbers))]);
  return args;
}

const engine = () => pick([...engines, ...engines, ...engines, disposed, pick(garbage)]);
const any = () => pick([() => pick(garbage), () => pick(numbers), pick(arrays), opArguments, engine])();
const number = () => (random(8) === 0 ? any() : pick(numbers));
const array = () => (random(8) === 0 ? any() : pick(arrays)());
const right = {
  createEngine: () => [pick([0, 1, 2, 1024, any()])],
  reserve: () => [engine(), random(4) === 0 ? number() : random(5), random(2) === 0 ? 4 * words : number()],
  enqueue: () => [
    engine(),
    random(26),
    random(8) === 0 ? any() : opArguments(),
    random(2) === 0 ? random(64) : number(),
  ],
  upload: () => [engine(), random(6), pick([0, 4, 64, number()]), array()],
  read: () => [engine(), random(6), pick([0, 4, 64, number()]), array()],
  synchronize: () => [engine()],
  dispose: () => [pick([disposed, pick(garbage), addon.createEngine(1)])],
};
const names = Object.keys(right);
const codes = new Set(['BAD_ARGUMENT', 'OUT_OF_MEMORY', 'DISPOSED']);

const seen = { returned: 0, resolved: 0, refused: {} };
const strange = [];
function refused(name, error) {
  if (codes.has(error?.code)) seen.refused[error.code] = (seen.refused[error.code] ?? 0) + 1;
  else strange.push(`${name}: ${String(error?.code)} ${String(error?.message ?? error)}`);
}

let pending = [];
for (let i = 0; i < calls; i++) {
  const name = pick(names);
  const args = random(6) === 0 ? Array.from({ length: random(6) }, any) : right[name]();
  if (name === 'dispose' && engines.includes(args[0])) continue;
  try {
    const result = addon[name].apply(pick([addon, undefined, {}]), args);
    if (result instanceof Promise)
      pending.push(result.then(() => seen.resolved++).catch((error) => refused(name, error)));
    else seen.returned++;
  } catch (error) {
    refused(name, error);
  }
  if (pending.length > 50) await Promise.all(pending.splice(0));
}
await Promise.all(pending);

// The engines must still work.
const values = [];
for (const [i, one] of engines.entries()) {
  addon.reserve(one, arena.state, 64);
  enqueue(one, 'fill', [i + 1, ...tensor(arena.state, 0, 16)]);
  values.push((await addon.read(one, arena.state, 0, new Float32Array(16)))[15]);
}
report({ ...seen, strange: strange.slice(0, 5), values });

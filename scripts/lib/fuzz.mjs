import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A generator of numbers in [0, 1) from a seed (mulberry32). */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Numbers for damaged headers that are likely to cause errors. */
const extremes = [
  0n,
  1n,
  2n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  1n << 40n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

/** Ways to damage a file. Each function gets the bytes and returns new bytes. */
const damages = {
  flipBit: (bytes, { place }) => {
    const at = place(bytes.length);
    bytes[at] ^= 1 << place(8);
    return bytes;
  },
  setByte: (bytes, { place }) => {
    bytes[place(bytes.length)] = place(256);
    return bytes;
  },
  setField: (bytes, { place, pick }) => {
    const width = pick([1, 2, 4, 8]);
    if (bytes.length < 8) return bytes;
    const at = place(bytes.length - width + 1);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let value = BigInt.asUintN(8 * width, pick(extremes));
    for (let i = 0; i < width; i++, value >>= 8n) view.setUint8(at + i, Number(value & 0xffn));
    return bytes;
  },
  cut: (bytes, { place }) => bytes.subarray(0, place(bytes.length)),
  cutFront: (bytes, { place }) => bytes.subarray(place(Math.min(bytes.length, 512))),
  remove: (bytes, { place }) => {
    const begin = place(bytes.length);
    const end = Math.min(bytes.length, begin + 1 + place(16));
    return Buffer.concat([bytes.subarray(0, begin), bytes.subarray(end)]);
  },
  repeat: (bytes, { place }) => {
    const begin = place(bytes.length);
    const end = Math.min(bytes.length, begin + 1 + place(64));
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(begin)]);
  },
  swapFields: (bytes, { place, pick }) => {
    const width = pick([1, 2, 4, 8, 16]);
    if (bytes.length < 2 * width) return bytes;
    const [a, b] = [place(bytes.length - width + 1), place(bytes.length - width + 1)];
    const kept = Buffer.from(bytes.subarray(a, a + width));
    bytes.copyWithin(a, b, b + width);
    bytes.set(kept, b);
    return bytes;
  },
  moveText: (bytes, { place, pick }) => {
    // Digits and brackets are sizes of a header, or opcodes and numbers of a pickle.
    const at = place(bytes.length);
    bytes[at] = pick([...Buffer.from('0123456789[]{}(),:"-.e\\tQRubsN}])\x80\x8a\x94\x93')]);
    return bytes;
  },
  append: (bytes, { place }) => Buffer.concat([bytes, Buffer.alloc(1 + place(64), place(256))]),
};

/**
 * Reads damaged copies of files.
 * @param options.list returns `[{name, shape, dtype, sha256}]` for a file, or throws an LxmertError
 * @returns counts, the time of the slowest case in milliseconds, and the failures: other errors, a slow case, or
 *   changed numbers in a form with checksums
 */
export async function fuzz({ files, work, cases, seed, list, slowestAllowed = 10_000, onProgress = () => undefined }) {
  const random = randomOf(seed);
  const place = (limit) => Math.floor(random() * Math.max(1, limit));
  const pick = (items) => items[place(items.length)];
  const names = Object.keys(damages);
  const known = new Map();
  for (const file of files) {
    const bytes = await readFile(file);
    // The zip form has a checksum for each entry, unless all of them are 0.
    const isZip = bytes.subarray(0, 2).toString() === 'PK' && !file.includes('no-checksums');
    known.set(file, { bytes, isZip, sums: new Set((await list(file)).map(summary)) });
  }
  const result = { cases: 0, read: 0, refused: 0, slowest: 0, failures: [] };
  const path = join(work, 'case');
  for (let i = 0; i < cases; i++) {
    const file = files[i % files.length];
    const { bytes, isZip, sums } = known.get(file);
    let damaged = Buffer.from(bytes);
    const done = [];
    for (let times = 1 + place(3); times > 0; times--) {
      const name = pick(names);
      done.push(name);
      // Most faults are put into headers, because they have more effects there than in numbers, which are most of a
      // file.
      const front = random() < 0.5 ? Math.min(damaged.length, 4096) : damaged.length;
      const [head, tail] = [damaged.subarray(0, front), damaged.subarray(front)];
      const backwards = isZip && random() < 0.4;
      damaged = backwards
        ? Buffer.concat([
            damaged.subarray(0, -front),
            damages[name](Buffer.from(damaged.subarray(-front)), { place, pick }),
          ])
        : Buffer.concat([damages[name](Buffer.from(head), { place, pick }), tail]);
    }
    await writeFile(path, damaged);
    const began = performance.now();
    const where = `case ${i} of seed ${seed}: ${file}: ${done.join(', ')}`;
    try {
      const tensors = await list(path);
      result.read += 1;
      const changed = tensors.filter((tensor) => !sums.has(summary(tensor)));
      if (isZip && changed.length > 0)
        result.failures.push(`${where}: read with other numbers, such as ${summary(changed[0])}`);
    } catch (error) {
      if (error?.name === 'LxmertError') result.refused += 1;
      else result.failures.push(`${where}: ${error?.stack ?? error}`);
    }
    const took = performance.now() - began;
    result.slowest = Math.max(result.slowest, took);
    if (took > slowestAllowed) result.failures.push(`${where}: took ${took.toFixed(0)} ms`);
    result.cases += 1;
    onProgress(result.cases);
  }
  return result;
}

/** The numbers of a tensor. Damage may change its name if the pickle has no checksum; then it is another tensor. */
const summary = ({ sha256 }) => sha256;

/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random numbers as a function
 * of a key and a counter. A random number depends only on its purpose and its sample, so batch size, order, number of ranks
 * and resuming do not change masks.
 */

const ROUNDS = 10;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const TWO_TO_32 = 4294967296;

/** Upper 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + (middle >>> 16) + (carry >>> 16);
}

/** One block: writes four unsigned 32-bit integers for `counter` (four words) under `key` (two words) to `out`. */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0] >>> 0;
  let c1 = counter[1] >>> 0;
  let c2 = counter[2] >>> 0;
  let c3 = counter[3] >>> 0;
  let k0 = key[0] >>> 0;
  let k1 = key[1] >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Purposes of random numbers. Each has a separate sequence, so turning a task off does not change the other tasks. */
export const purposes = { order: 0, matching: 1, words: 2, objects: 3, answer: 4, buckets: 5 } as const;

export type Purpose = keyof typeof purposes;

/**
 * A sequence of random numbers for each (seed, epoch, sample, purpose). `at` selects a sequence and begins at its
 * start.
 */
export class RandomStream {
  readonly #key: Uint32Array;
  readonly #counter = new Uint32Array(4);
  readonly #block = new Uint32Array(4);
  #used = 4;

  /** `seed`: an integer from 0 to 2^53 - 1. */
  constructor(seed: number) {
    this.#key = Uint32Array.of(seed % TWO_TO_32, Math.floor(seed / TWO_TO_32));
  }

  /** Goes to the start of a sequence. */
  at(epoch: number, sample: number, purpose: Purpose): this {
    this.#counter[0] = 0;
    this.#counter[1] = sample;
    this.#counter[2] = epoch;
    this.#counter[3] = purposes[purpose];
    this.#used = 4;
    return this;
  }

  /** The next number, an integer 0 … 2^32 - 1. */
  uint32(): number {
    if (this.#used === 4) {
      philox4x32(this.#counter, this.#key, this.#block);
      this.#counter[0]++;
      this.#used = 0;
    }
    return this.#block[this.#used++];
  }

  /** The next number, in [0, 1). */
  uniform(): number {
    return this.uint32() / TWO_TO_32;
  }

  /** The next number, 0 … limit - 1, each with the same probability (Lemire 2019). `limit` is from 1 to 2^32 - 1. */
  below(limit: number): number {
    let x = this.uint32();
    let low = Math.imul(x, limit) >>> 0;
    if (low < limit) {
      const reject = (TWO_TO_32 - limit) % limit;
      while (low < reject) {
        x = this.uint32();
        low = Math.imul(x, limit) >>> 0;
      }
    }
    return multiplyHigh(x, limit);
  }
}

/** The order of the samples in an epoch: a permutation of 0 … size - 1. */
export function epochOrder(seed: number, epoch: number, size: number): Uint32Array {
  const order = new Uint32Array(size);
  const random = new RandomStream(seed).at(epoch, 0, 'order');
  // The inside-out variant of the Fisher-Yates shuffle.
  for (let i = 0; i < size; i++) {
    const j = random.below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}

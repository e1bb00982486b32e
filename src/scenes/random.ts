/** A stream of random numbers. It depends only on its key, not on other streams. */
export interface Random {
  /** Uniform over the 32-bit unsigned integers. */
  word(): number;
  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number;
  /** Uniform over 0 … n − 1. */
  integer(n: number): number;
  /** Standard normal. */
  normal(): number;
  pick<T>(items: readonly T[]): T;
  /** A shuffled copy. */
  shuffle<T>(items: readonly T[]): T[];
}

/** The finalizer of MurmurHash3: each input bit changes each output bit with a probability of about a half. */
function scramble(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hashes a key of integers to one 32-bit word. With different `salt`s one key gives several independent words. */
function digest(key: readonly number[], salt: number): number {
  let h = scramble(salt);
  for (const part of key) {
    h = scramble(h + 0x9e3779b9 + (part >>> 0));
    h = scramble(h + 0x9e3779b9 + Math.floor(part / 2 ** 32));
  }
  return h;
}

/**
 * Makes a stream that depends only on its key. So scene k does not depend on the number of scenes.
 * The generator is sfc32 (Doty-Humphrey's small fast chaotic, 96 bits of state and a 32-bit counter).
 * It uses only arithmetic that IEEE 754 defines exactly, and `Math.log` and `Math.sqrt` in `normal`. It does not use sines,
 * whose last bit differs between versions of the JavaScript engine.
 * @param key non-negative safe integers
 */
export function createRandom(...key: number[]): Random {
  let a = digest(key, 1);
  let b = digest(key, 2);
  let c = digest(key, 3);
  let counter = 1;
  let spare: number | undefined;

  const word = (): number => {
    const result = (a + b + counter) >>> 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result;
  };
  for (let i = 0; i < 12; i += 1) word();

  const uniform = (): number => word() / 2 ** 32;
  const integer = (n: number): number => Math.floor(uniform() * n);

  /** Marsaglia's polar method, which gives two values at a time. */
  const normal = (): number => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    for (;;) {
      const x = 2 * uniform() - 1;
      const y = 2 * uniform() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      spare = y * factor;
      return x * factor;
    }
  };

  const shuffle = <T>(items: readonly T[]): T[] => {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i -= 1) {
      const j = integer(i + 1);
      const held = result[i];
      result[i] = result[j]!;
      result[j] = held;
    }
    return result;
  };

  return { word, uniform, integer, normal, shuffle, pick: (items) => items[integer(items.length)] };
}

import { cos, floor, imul, log, sin, sqrt } from './fastMath.js';

/** Seeded random numbers for tests (SplitMix with 32 bits): the same seed gives the same sequence everywhere. */
export class Rng {
  #state: number;
  #spare: number | null = null;

  constructor(seed: number, stream = 0) {
    this.#state = imul(seed + 1, 0x85ebca6b) ^ imul(stream + 1, 0xc2b2ae35);
  }

  uint32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = imul(z ^ (z >>> 16), 0x21f0aaad);
    z = imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** [0, 1). */
  uniform(): number {
    return this.uint32() / 4294967296;
  }

  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + floor(this.uniform() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)];
  }

  normal(): number {
    if (this.#spare !== null) {
      const value = this.#spare;
      this.#spare = null;
      return value;
    }
    const radius = sqrt(-2 * log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * sin(angle);
    return radius * cos(angle);
  }

  /** `count` normal values. */
  floats(count: number, deviation = 1, mean = 0): Float32Array {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = mean + deviation * this.normal();
    return values;
  }

  /** `count` integers from `min` to `max`. */
  ints(count: number, min: number, max: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.int(min, max));
  }

  /** A random subset of 0 … limit - 1, each with the given probability, ascending. */
  subset(limit: number, probability: number): number[] {
    return Array.from({ length: limit }, (_, i) => i).filter(() => this.chance(probability));
  }
}

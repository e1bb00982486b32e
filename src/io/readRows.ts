import { loadAddon } from '../engine/load.js';
import { translated } from '../engine/native.js';

/** Typed arrays of 4-byte numbers. */
export type Target = Float32Array | Int32Array | Uint32Array;

const numbersOfRun = 6;

/** Runs of numbers in files, to be read by one call. */
export class RowPlan {
  #numbers: Float64Array;
  #count = 0;

  /** @param runs how many are expected; there may be more */
  constructor(runs = 32) {
    this.#numbers = new Float64Array(runs * numbersOfRun);
  }

  /** Runs so far. */
  get length(): number {
    return this.#count / numbersOfRun;
  }

  /**
   * Adds `count` numbers from byte `position` of the open file `fd` on, to element `start` of a target.
   * @param half whether the file has float16, which become float32; else 4-byte numbers, which stay as they are
   */
  add(fd: number, position: number, count: number, half: boolean, target: number, start: number): void {
    if (this.#count + numbersOfRun > this.#numbers.length) {
      const larger = new Float64Array(2 * this.#numbers.length);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    const at = this.#count;
    this.#numbers[at] = fd;
    this.#numbers[at + 1] = position;
    this.#numbers[at + 2] = count;
    this.#numbers[at + 3] = half ? 1 : 0;
    this.#numbers[at + 4] = target;
    this.#numbers[at + 5] = start;
    this.#count += numbersOfRun;
  }

  /**
   * Reads all runs, in order, on another thread. The files must stay open, and nobody may use the targets, until then.
   * @returns -1 when all is read; from 0, the run whose file ends before it; below -1, -1 minus the system's error number
   */
  read(targets: readonly Target[]): Promise<number> {
    return translated(() => loadAddon().readRows(this.#numbers, this.#count, targets));
  }
}

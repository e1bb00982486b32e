import { loadAddon } from '../engine/load.js';
import { translated } from '../engine/native.js';

/** Typed arrays of 4-byte numbers. */
export type Target = Float32Array | Int32Array | Uint32Array;

const numbersOfRun = 6;

/** A list of contiguous ranges of numbers in files ("runs"), which one call reads. */
export class RowPlan {
  #numbers: Float64Array;
  #count = 0;

  /** @param runs the expected number of runs; there may be more */
  constructor(runs = 32) {
    this.#numbers = new Float64Array(runs * numbersOfRun);
  }

  /** Number of runs so far. */
  get length(): number {
    return this.#count / numbersOfRun;
  }

  /**
   * Adds a run of `count` numbers. They are read from byte `position` of the open file `fd`, and written to a target
   * from element `start` on.
   * @param half whether the file has float16 numbers, which are converted to float32; otherwise 4-byte numbers are
   *   copied
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
   * Reads all runs, in order, on another thread. Until the promise settles, the files must stay open, and the targets
   * must not be used.
   * @returns -1 if all runs were read. A number of at least 0 is the index of a run whose file is too short. A number
   *   below -1 is -1 minus the error number of the system
   */
  read(targets: readonly Target[]): Promise<number> {
    return translated(() => loadAddon().readRows(this.#numbers, this.#count, targets));
  }
}

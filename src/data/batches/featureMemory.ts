import { types } from 'node:util';
import type { Batch } from './batch.js';
import { sharedArrays } from '../sharedArrays.js';

/** Spare blocks beyond this are let go. */
const MOST_SPARE = 8;

/**
 * Memory for the features of batches, used again. A batch of 256 images of 36 × 2048 floats takes 75 MB; fresh memory
 * of that size costs more than filling it, because the system hands it out page by page. Threads pass shared memory to
 * and fro without the garbage collector's notice; other memory, of which it keeps count, has it run for every batch.
 * So shared memory is taken only where it comes back.
 */
export class FeatureMemory {
  readonly #spare: Float32Array[] = [];
  readonly #released = new WeakSet<Batch>();

  readonly #shared: boolean;
  #comesBack = false;

  /** `shared`: for use with threads. `blocks`: memory to begin with. */
  constructor({ shared = false, blocks = [] }: { shared?: boolean; blocks?: readonly Float32Array[] } = {}) {
    this.#shared = shared;
    for (const block of blocks) this.#add(block);
  }

  /** An array of just that length; its contents are whatever was there. */
  take(length: number): Float32Array {
    let best = -1;
    for (const [i, block] of this.#spare.entries()) {
      if (block.length >= length && (best < 0 || block.length < this.#spare[best].length)) best = i;
    }
    // A little more than asked for, so that the next batch, with some objects more, fits too.
    const block = best < 0 ? this.#allocate(Math.ceil(length * 1.1)) : this.#spare.splice(best, 1)[0];
    return block.subarray(0, length);
  }

  /** Takes back what a batch holds, once. Nobody may read its features afterwards. */
  release(batch: Batch): void {
    if (this.#released.has(batch)) return;
    this.#released.add(batch);
    this.#comesBack = true;
    this.#add(batch.visualFeats);
    this.#add(batch.featureTargets);
    // The largest stay.
    this.#spare.sort((a, b) => b.length - a.length).length = Math.min(this.#spare.length, MOST_SPARE);
  }

  #allocate(length: number): Float32Array {
    return this.#shared && this.#comesBack ? sharedArrays.float32(length) : new Float32Array(length);
  }

  #add({ buffer }: Float32Array): void {
    const keep = !this.#shared || types.isSharedArrayBuffer(buffer);
    if (keep && buffer.byteLength > 0) this.#spare.push(new Float32Array(buffer));
  }
}

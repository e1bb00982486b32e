import { types } from 'node:util';
import type { Batch } from './batch.js';
import { sharedArrays } from '../sharedArrays.js';

/** Largest number of unused blocks that are kept. */
const MOST_SPARE = 8;

/**
 * Memory for the features of batches, which is used again. The features of a batch of 256 images of 36 × 2048 floats
 * have 75 MB. Allocating new memory of that size takes longer than writing it, because the system provides it page by
 * page. With threads, shared memory is used, because the garbage collector would run for every batch if other memory
 * were sent between threads. Shared memory is used only if the batches are released here.
 */
export class FeatureMemory {
  readonly #spare: Float32Array[] = [];
  readonly #released = new WeakSet<Batch>();

  readonly #shared: boolean;
  #comesBack = false;

  /** `shared`: allocate shared memory, for use with threads. `blocks`: blocks that are available at the start. */
  constructor({ shared = false, blocks = [] }: { shared?: boolean; blocks?: readonly Float32Array[] } = {}) {
    this.#shared = shared;
    for (const block of blocks) this.#add(block);
  }

  /** Returns an array of exactly this length. Its contents are not defined. */
  take(length: number): Float32Array {
    let best = -1;
    for (const [i, block] of this.#spare.entries()) {
      if (block.length >= length && (best < 0 || block.length < this.#spare[best].length)) best = i;
    }
    // A block is a little larger than requested, so that a later batch with a few more objects fits, too.
    const block = best < 0 ? this.#allocate(Math.ceil(length * 1.1)) : this.#spare.splice(best, 1)[0];
    return block.subarray(0, length);
  }

  /** Makes the memory of a batch available again. The batch's features must not be read afterwards. */
  release(batch: Batch): void {
    if (this.#released.has(batch)) return;
    this.#released.add(batch);
    this.#comesBack = true;
    this.#add(batch.visualFeats);
    this.#add(batch.featureTargets);
    // The largest blocks are kept.
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

import { LxmertError } from '../errors.js';
import { Ranges } from './ranges.js';
import type { DType, Tensor } from './tensor.js';
import { dtypeBytes, elements } from './tensor.js';

const alignment = 64;
/** The size of a workspace during `plan`, which finds the size that is really needed. */
const planBytes = 2 ** 45;

const placeBytes = (shape: readonly number[], dtype: DType): number =>
  Math.max(alignment, Math.ceil((elements(shape) * dtypeBytes[dtype]) / alignment) * alignment);

/**
 * Memory for one step: a free list with two ends. Activations are taken from the bottom, and the backward pass releases
 * them in reverse order; gradients and temporaries are taken from the top. A place may be released as soon as the last
 * op that uses it is enqueued, because work runs in order.
 *
 * Work in lanes does not run in order. So memory that one lane releases is free only for that lane until the lanes end.
 *
 * `plan` runs the same allocations in a workspace of unlimited size. The peak is the size that the arena needs, and the
 * same step then gets the same places.
 */
export class Workspace {
  generation = 0;
  #bytes = 0;
  /** Memory that is free for all lanes. */
  #free = new Ranges();
  /** Memory that each lane has released since the lanes began; free only for this lane. */
  #lanes: Ranges[] = [];
  #lane = 0;
  #lowest = 0;
  #highest = 0;

  /** Empties the workspace: all tensors made before become invalid. */
  reset(bytes: number): void {
    this.generation++;
    this.#bytes = bytes;
    this.#free = new Ranges([{ begin: 0, end: bytes }]);
    this.#lanes = [];
    this.#highest = 0;
    this.#lowest = bytes;
  }

  /** Empties the workspace and gives it unlimited size. */
  plan(): void {
    this.reset(planBytes);
  }

  /** The largest number of bytes that were in use at both ends together since the last reset. */
  get peakBytes(): number {
    return this.#highest + this.#bytes - this.#lowest;
  }

  /** Begins this number of lanes; the first lane becomes current. */
  fork(lanes: number): void {
    this.#lanes = Array.from({ length: lanes }, () => new Ranges());
    this.#lane = 0;
  }

  enter(lane: number): void {
    this.#lane = lane;
  }

  join(): void {
    for (const given of this.#lanes) for (const { begin, end } of given) this.#free.add(begin, end);
    this.#lanes = [];
  }

  /** `forAll`: the place must be free for all lanes, not only for the current one. */
  allocate(shape: readonly number[], dtype: DType, end: 'bottom' | 'top', { forAll = false } = {}): Tensor {
    const size = placeBytes(shape, dtype);
    const own = forAll ? undefined : this.#lanes[this.#lane];
    const holes = own ? new Ranges([...this.#free, ...own]) : this.#free;
    const hole = holes.find(size, end === 'bottom' ? 'lowest' : 'highest');
    if (!hole)
      throw new LxmertError(
        'INTERNAL',
        `the workspace of ${this.#bytes} bytes has not enough free memory for ${size} more bytes: it was planned for a smaller batch`,
      );
    const offset = end === 'bottom' ? hole.begin : hole.end - size;
    this.#free.remove(offset, offset + size);
    own?.remove(offset, offset + size);
    if (end === 'bottom') this.#highest = Math.max(this.#highest, offset + size);
    else this.#lowest = Math.min(this.#lowest, offset);
    return Object.freeze({
      arena: 'workspace',
      offset,
      shape: Object.freeze([...shape]),
      dtype,
      generation: this.generation,
    });
  }

  release(tensor: Tensor): void {
    if (tensor.generation !== this.generation) return;
    const begin = tensor.offset;
    const end = begin + placeBytes(tensor.shape, tensor.dtype);
    if ([this.#free, ...this.#lanes].some((holes) => holes.overlaps(begin, end)))
      throw new LxmertError('INTERNAL', 'a workspace tensor was released twice');
    (this.#lanes[this.#lane] ?? this.#free).add(begin, end);
  }
}

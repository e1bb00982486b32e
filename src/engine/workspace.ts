import { LxmertError } from '../errors.js';
import { Ranges } from './ranges.js';
import type { DType, Tensor } from './tensor.js';
import { dtypeBytes, elements } from './tensor.js';

const alignment = 64;
/** Where the top of a workspace lies while its size is being planned. */
const planBytes = 2 ** 45;

const placeBytes = (shape: readonly number[], dtype: DType): number =>
  Math.max(alignment, Math.ceil((elements(shape) * dtypeBytes[dtype]) / alignment) * alignment);

/**
 * Places for what one step needs: a free list with two ends. Activations are taken from the bottom and given back by the
 * backward pass, last first; gradients and temporaries live at the top. A place may be given back as soon as its last use
 * is enqueued, since work runs in order.
 *
 * Work in lanes does not: what one lane gives back is free for that lane alone, until they join.
 *
 * Planning (`plan`) runs the same allocations on an endless workspace: what it came to is what the arena must hold, and
 * the same step then finds the same places.
 */
export class Workspace {
  generation = 0;
  private bytes = 0;
  /** What anybody may take. */
  private free = new Ranges();
  /** What each lane has given back since they parted. */
  private lanes: Ranges[] = [];
  private lane = 0;
  private lowest = 0;
  private highest = 0;

  /** Starts anew: every tensor made before is dead. */
  reset(bytes: number): void {
    this.generation++;
    this.bytes = bytes;
    this.free = new Ranges([{ begin: 0, end: bytes }]);
    this.lanes = [];
    this.highest = 0;
    this.lowest = bytes;
  }

  /** Starts anew, without an end. */
  plan(): void {
    this.reset(planBytes);
  }

  /** The most that was in use at both ends since the last reset, in bytes. */
  get peakBytes(): number {
    return this.highest + this.bytes - this.lowest;
  }

  /** From here on work is done in so many lanes, the first of them to begin with. */
  fork(lanes: number): void {
    this.lanes = Array.from({ length: lanes }, () => new Ranges());
    this.lane = 0;
  }

  enter(lane: number): void {
    this.lane = lane;
  }

  join(): void {
    for (const given of this.lanes) for (const { begin, end } of given) this.free.add(begin, end);
    this.lanes = [];
  }

  /** `forAll`: for all lanes, so not at a place that this one alone has. */
  allocate(shape: readonly number[], dtype: DType, end: 'bottom' | 'top', { forAll = false } = {}): Tensor {
    const size = placeBytes(shape, dtype);
    const own = forAll ? undefined : this.lanes[this.lane];
    const holes = own ? new Ranges([...this.free, ...own]) : this.free;
    const hole = holes.find(size, end === 'bottom' ? 'lowest' : 'highest');
    if (!hole)
      throw new LxmertError(
        'INTERNAL',
        `the workspace of ${this.bytes} bytes has no room for ${size} more: it was planned for a smaller batch`,
      );
    const offset = end === 'bottom' ? hole.begin : hole.end - size;
    this.free.remove(offset, offset + size);
    own?.remove(offset, offset + size);
    if (end === 'bottom') this.highest = Math.max(this.highest, offset + size);
    else this.lowest = Math.min(this.lowest, offset);
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
    if ([this.free, ...this.lanes].some((holes) => holes.overlaps(begin, end)))
      throw new LxmertError('INTERNAL', 'a workspace tensor was released twice');
    (this.lanes[this.lane] ?? this.free).add(begin, end);
  }
}

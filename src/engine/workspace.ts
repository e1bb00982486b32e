import { LxmertError } from '../errors.js';
import type { DType, Tensor } from './tensor.js';
import { dtypeBytes, elements } from './tensor.js';

const alignment = 64;
/** Where the top of a workspace lies while its size is being planned. */
const planBytes = 2 ** 45;

const placeBytes = (shape: readonly number[], dtype: DType): number =>
  Math.max(alignment, Math.ceil((elements(shape) * dtypeBytes[dtype]) / alignment) * alignment);

interface Hole {
  begin: number;
  end: number;
}

/**
 * Places for what one step needs: a free list with two ends. Activations are taken from the bottom and given back by the
 * backward pass, last first; gradients and temporaries live at the top. A place may be given back as soon as its last use
 * is enqueued, since work runs in order.
 *
 * Planning (`plan`) runs the same allocations on an endless workspace: what it came to is what the arena must hold, and
 * the same step then finds the same places.
 */
export class Workspace {
  generation = 0;
  private bytes = 0;
  private holes: Hole[] = [];
  private lowest = 0;
  private highest = 0;

  /** Starts anew: every tensor made before is dead. */
  reset(bytes: number): void {
    this.generation++;
    this.bytes = bytes;
    this.holes = [{ begin: 0, end: bytes }];
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

  allocate(shape: readonly number[], dtype: DType, end: 'bottom' | 'top'): Tensor {
    const size = placeBytes(shape, dtype);
    const fits = (hole: Hole): boolean => hole.end - hole.begin >= size;
    const index = end === 'bottom' ? this.holes.findIndex(fits) : this.holes.findLastIndex(fits);
    if (index < 0)
      throw new LxmertError(
        'INTERNAL',
        `the workspace of ${this.bytes} bytes has no room for ${size} more: it was planned for a smaller batch`,
      );
    const hole = this.holes[index];
    const offset = end === 'bottom' ? hole.begin : hole.end - size;
    if (end === 'bottom') hole.begin += size;
    else hole.end -= size;
    if (hole.begin === hole.end) this.holes.splice(index, 1);
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
    const size = placeBytes(tensor.shape, tensor.dtype);
    const begin = tensor.offset;
    const end = begin + size;
    let index = this.holes.findIndex((hole) => hole.begin >= end);
    if (index < 0) index = this.holes.length;
    const before = this.holes[index - 1];
    const after = this.holes[index];
    if (before && before.end > begin) throw new LxmertError('INTERNAL', 'a workspace tensor was released twice');
    if (before?.end === begin && after?.begin === end) {
      before.end = after.end;
      this.holes.splice(index, 1);
    } else if (before?.end === begin) before.end = end;
    else if (after?.begin === end) after.begin = begin;
    else this.holes.splice(index, 0, { begin, end });
  }
}

import { elementBytes, type Communicator, type Engine, type Tensor } from '../engine/index.js';
import type { ModelWeights } from '../model/weights.js';
import { LxmertError } from '../errors.js';

export type { Communicator };

/** The parts of a global batch, and which of them are this rank's. */
export interface PartsOfBatch {
  readonly rank: number;
  readonly ranks: number;
  /** Parts of which each gradient is made on its own: as many as ranks, or a power of two that is not less. */
  readonly parts: number;
}

/** How a model shares its steps with other ranks. */
export interface StepSharing extends PartsOfBatch {
  /** Absent for one rank. */
  readonly communicator?: Communicator | undefined;
  /** Bytes that are summed at once. */
  readonly bucketBytes?: number | undefined;
  /** Gives every rank the values of all ranks, in their order. Absent for one rank. */
  readonly exchange?: (<T>(name: string, value: T) => Promise<readonly T[]>) | undefined;
}

const defaultBucketBytes = 16 * 2 ** 20;

/** The first part of a rank. That of the rank after the last one is the number of parts. */
export const firstPart = ({ parts, ranks }: Pick<PartsOfBatch, 'parts' | 'ranks'>, rank: number): number =>
  Math.floor((parts * rank) / ranks);

/** A node of the tree along which parts are summed (native/comm/part_tree.h). */
interface Node {
  readonly level: number;
  readonly index: number;
}

/** What follows the gradient of a part: sums that are complete are added, and the part is put aside if it must wait. */
interface PartEnd {
  /** Slots whose sum is added in front of the gradient, in this order. */
  readonly add: readonly number[];
  /** The slot into which the result is copied; undefined for the last part. */
  readonly keep: number | undefined;
}

/** What to do after each part of a run of parts, and the number of slots that wait at the end. */
export function planParts(first: number, end: number): { readonly ends: readonly PartEnd[]; readonly waiting: number } {
  const stack: Node[] = [];
  const ends: PartEnd[] = [];
  for (let part = first; part < end; part++) {
    let node: Node = { level: 0, index: part };
    const add: number[] = [];
    for (let top = stack.at(-1); top?.level === node.level && top.index + 1 === node.index && node.index % 2 === 1;) {
      stack.pop();
      add.push(stack.length);
      node = { level: node.level + 1, index: (node.index - 1) / 2 };
      top = stack.at(-1);
    }
    const isLast = part + 1 === end;
    ends.push({ add, keep: isLast ? undefined : stack.length });
    if (!isLast) stack.push(node);
  }
  return { ends, waiting: stack.length };
}

/** Sums the gradients and tallies of the parts of a global batch, within this rank and over all ranks. */
export class GradientParts {
  readonly sharing: StepSharing;
  readonly first: number;
  readonly end: number;
  readonly #engine: Engine;
  readonly #tallies: Tensor;
  readonly #plan: ReturnType<typeof planParts>;
  readonly #slotBytes: number;
  readonly #weightBytes: number;

  /** Gives the gradient arena room for the sums that wait; its contents are lost. */
  constructor(engine: Engine, weights: ModelWeights, tallies: Tensor, sharing: StepSharing) {
    const { rank, ranks, parts, communicator } = sharing;
    const isPower = Number.isInteger(Math.log2(parts));
    if (parts < ranks || (!isPower && parts !== ranks))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${parts} gradient parts on ${ranks} ranks: expected a power of two that is at least the number of ranks`,
      );
    this.sharing = sharing;
    this.#engine = engine;
    this.#tallies = tallies;
    this.first = firstPart(sharing, rank);
    this.end = firstPart(sharing, rank + 1);
    this.#plan = planParts(this.first, this.end);
    this.#weightBytes = weights.bytes;
    this.#slotBytes = weights.bytes + 64 * Math.ceil((tallies.shape[0] * tallies.shape[1] * elementBytes) / 64);
    const slots = Math.max(0, ...this.#plan.ends.map(({ keep }) => (keep ?? -1) + 1));
    engine.reserve('gradients', weights.bytes + slots * this.#slotBytes);
    if (communicator) {
      communicator.setParts(parts);
      engine.join(communicator);
    }
  }

  /**
   * Ends a part whose gradient is in the gradient arena.
   * @param ranges byte ranges of the gradients that are trained
   */
  endPart(part: number, ranges: readonly (readonly [number, number])[]): void {
    const { add, keep } = this.#plan.ends[part - this.first];
    for (const { tensor, inSlot } of this.#pieces(ranges)) {
      for (const slot of add) this.#engine.add(tensor, inSlot(slot), tensor);
      if (keep !== undefined) this.#engine.copy(inSlot(keep), tensor);
    }
  }

  /** Sums over all ranks, after the last part. */
  sumOverRanks(ranges: readonly (readonly [number, number])[]): void {
    if (!this.sharing.communicator) return;
    const waiting = Array.from({ length: this.#plan.waiting }, (_, slot) => slot);
    for (const { tensor, inSlot } of this.#pieces(ranges))
      this.#engine.startSum(tensor, [...waiting.map(inSlot), tensor]);
    this.#engine.finishSums();
  }

  /** The buckets from the end of memory to its beginning, as backward finishes them; the tallies come last. */
  #pieces(
    ranges: readonly (readonly [number, number])[],
  ): { readonly tensor: Tensor; readonly inSlot: (slot: number) => Tensor }[] {
    const { bucketBytes = defaultBucketBytes } = this.sharing;
    const at = (offset: number, bytes: number): Tensor =>
      this.#engine.tensor('gradients', offset, [bytes / elementBytes]);
    const pieces = [];
    for (const [begin, end] of [...ranges].reverse())
      for (let stop = end; stop > begin; stop -= bucketBytes) {
        const start = Math.max(begin, stop - bucketBytes);
        const inSlot = (slot: number) => at(this.#weightBytes + slot * this.#slotBytes + start, stop - start);
        pieces.push({ tensor: at(start, stop - start), inSlot });
      }
    const [rows, columns] = this.#tallies.shape;
    const tallies = { ...this.#tallies, shape: [rows * columns] };
    const inSlot = (slot: number) =>
      at(this.#weightBytes + slot * this.#slotBytes + this.#weightBytes, rows * columns * elementBytes);
    return [...pieces, { tensor: tallies, inSlot }];
  }
}

import {
  elementBytes,
  fill,
  type Communicator,
  type Engine,
  type GradientLedger,
  type Tensor,
} from '../engine/index.js';
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

/** A bucket: bytes of the gradient arena, and the same bytes in the sums that wait. */
interface Piece {
  readonly begin: number;
  readonly end: number;
  readonly tensor: Tensor;
  readonly inSlot: (slot: number) => Tensor;
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
   * The work after the gradient of a part: `ready` is called as backward goes on and hands over the buckets that are
   * complete, so that they travel meanwhile; `rest` follows the last op.
   * @param ranges byte ranges of the gradients that are trained
   * @param whole the marks of the whole part, also those that are still to come; gaps between them are zero
   * @param soFar the marks up to now
   */
  endPart(
    part: number,
    ranges: readonly (readonly [number, number])[],
    whole: GradientLedger,
    soFar: GradientLedger,
  ): { readonly ready: () => void; readonly rest: () => void } {
    const { communicator } = this.sharing;
    const isLast = part + 1 === this.end;
    const pieces = this.#pieces(ranges).map((piece) => ({
      ...piece,
      completeAt: whole.lastMarkWithin(piece.begin, piece.end),
    }));
    let next = 0;
    const hand = (): void => {
      const piece = pieces[next++];
      for (const gap of whole.unwritten(piece.begin, piece.end))
        fill(this.#engine, this.#gradient(gap.begin, gap.end - gap.begin), 0);
      this.#endPiece(part, piece);
    };
    return {
      ready: () => {
        // Only what travels is worth handing over early. The order is the same on all ranks.
        while (communicator && isLast && next < pieces.length && soFar.marks >= pieces[next].completeAt) hand();
      },
      rest: () => {
        while (next < pieces.length) hand();
        this.#endPiece(part, this.#tallyPiece());
        if (communicator && isLast) this.#engine.finishSums();
      },
    };
  }

  #endPiece(part: number, { tensor, inSlot }: Pick<Piece, 'tensor' | 'inSlot'>): void {
    const { add, keep } = this.#plan.ends[part - this.first];
    for (const slot of add) this.#engine.add(tensor, inSlot(slot), tensor);
    if (keep !== undefined) this.#engine.copy(inSlot(keep), tensor);
    if (part + 1 < this.end || !this.sharing.communicator) return;
    const waiting = Array.from({ length: this.#plan.waiting }, (_, slot) => inSlot(slot));
    this.#engine.startSum(tensor, [...waiting, tensor]);
  }

  #gradient(offset: number, bytes: number): Tensor {
    return this.#engine.tensor('gradients', offset, [bytes / elementBytes]);
  }

  /** The buckets from the end of memory to its beginning, as backward finishes them. */
  #pieces(ranges: readonly (readonly [number, number])[]): Piece[] {
    const { bucketBytes = defaultBucketBytes } = this.sharing;
    const pieces: Piece[] = [];
    for (const [first, stop] of [...ranges].reverse())
      for (let end = stop; end > first; end -= bucketBytes) {
        const begin = Math.max(first, end - bucketBytes);
        const inSlot = (slot: number) =>
          this.#gradient(this.#weightBytes + slot * this.#slotBytes + begin, end - begin);
        pieces.push({ begin, end, tensor: this.#gradient(begin, end - begin), inSlot });
      }
    return pieces;
  }

  /** The sums of the losses; they come last. */
  #tallyPiece(): Pick<Piece, 'tensor' | 'inSlot'> {
    const [rows, columns] = this.#tallies.shape;
    const inSlot = (slot: number) =>
      this.#gradient(2 * this.#weightBytes + slot * this.#slotBytes, rows * columns * elementBytes);
    return { tensor: { ...this.#tallies, shape: [rows * columns] }, inSlot };
  }
}

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
import { cutAt, OptimizerSlices } from './optimizerSlices.js';

export type { Communicator };

/** The division of a global batch into parts, and the number of this rank, which has some of the parts. */
export interface PartsOfBatch {
  readonly rank: number;
  readonly ranks: number;
  /**
   * The number of parts; the gradient of each part is computed separately. It is the number of ranks, or a power of two
   * that is at least the number of ranks.
   */
  readonly parts: number;
}

/** How a model shares its steps with other ranks. */
export interface StepSharing extends PartsOfBatch {
  /**
   * Whether any number of ranks must give the same bits. On the CPU this is always so. On CUDA, NCCL chooses the order of the
   * additions otherwise, which is faster. Without it there is one part for each rank.
   */
  readonly sameBits?: boolean | undefined;
  /** Absent for one rank. */
  readonly communicator?: Communicator | undefined;
  /** The largest number of bytes of a bucket, which is summed over the ranks at once. */
  readonly bucketBytes?: number | undefined;
  /** Whether each rank updates only a slice of the parameters, and stores only the moments of this slice. */
  readonly shardOptimizer?: boolean | undefined;
  /** Sends this rank's value to all ranks. Returns the values of all ranks, ordered by rank. Absent for one rank. */
  readonly exchange?: (<T>(name: string, value: T) => Promise<readonly T[]>) | undefined;
}

const defaultBucketBytes = 16 * 2 ** 20;

/** The first part of a rank. For `rank` equal to `ranks`, the result is the number of parts. */
export const firstPart = ({ parts, ranks }: Pick<PartsOfBatch, 'parts' | 'ranks'>, rank: number): number =>
  Math.floor((parts * rank) / ranks);

/** A node of the tree along which parts are summed (native/comm/part_tree.h). */
interface Node {
  readonly level: number;
  readonly index: number;
}

/** A bucket: a range of bytes in the gradient arena, and the same range in each slot. A slot stores a sum for later. */
interface Piece {
  readonly begin: number;
  readonly end: number;
  readonly tensor: Tensor;
  readonly inSlot: (slot: number) => Tensor;
  /** Where the slice of each rank begins, in elements of the tensor; undefined: all ranks need the whole sum. */
  readonly slices?: readonly number[] | undefined;
}

/**
 * The steps after the gradient of a part is computed: stored sums are added to it, and the result is copied into a slot
 * if it is needed later.
 */
interface PartEnd {
  /** Slots whose sum is added in front of the gradient, in this order. */
  readonly add: readonly number[];
  /** The slot into which the result is copied; undefined for the last part. */
  readonly keep: number | undefined;
}

/** The steps after each of the parts first … end - 1, and the number of slots that are still in use at the end. */
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
  /** The part that each rank updates; undefined if every rank updates all parameters. */
  readonly slices: OptimizerSlices | undefined;
  readonly #engine: Engine;
  readonly #tallies: Tensor;
  readonly #plan: ReturnType<typeof planParts>;
  readonly #bucketBytes: number;
  readonly #slotBytes: number;
  readonly #weightBytes: number;

  /** Reserves memory for the slots in the gradient arena. The contents of the arena are lost. */
  constructor(engine: Engine, weights: ModelWeights, tallies: Tensor, sharing: StepSharing) {
    const { rank, ranks, parts, communicator, bucketBytes = defaultBucketBytes, shardOptimizer } = sharing;
    const isPower = Number.isInteger(Math.log2(parts));
    if (parts < ranks || (!isPower && parts !== ranks))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${parts} gradient parts on ${ranks} ranks: expected a power of two that is at least the number of ranks`,
      );
    this.sharing = sharing;
    this.slices = communicator && shardOptimizer ? new OptimizerSlices(sharing, weights.bytes, bucketBytes) : undefined;
    this.#bucketBytes = this.slices?.bucketBytes ?? bucketBytes;
    this.#engine = engine;
    this.#tallies = tallies;
    this.first = firstPart(sharing, rank);
    this.end = firstPart(sharing, rank + 1);
    this.#plan = planParts(this.first, this.end);
    this.#weightBytes = weights.bytes;
    this.#slotBytes = weights.bytes + 64 * Math.ceil((tallies.shape[0] * tallies.shape[1] * elementBytes) / 64);
    const slots = Math.max(0, ...this.#plan.ends.map(({ keep }) => (keep ?? -1) + 1));
    engine.reserve('gradients', weights.bytes + slots * this.#slotBytes);
  }

  /** Connects the engine to the other ranks, which must do the same. @throws BAD_CONFIG if their devices differ; RANK_LOST */
  async join(): Promise<void> {
    const { communicator, exchange, parts, sameBits = false } = this.sharing;
    if (!communicator) return;
    const devices = (await exchange?.('device', this.#engine.device)) ?? [];
    const other = devices.findIndex((device) => device !== devices[0]);
    if (other > 0)
      throw new LxmertError(
        'BAD_CONFIG',
        `rank 0 computes on ${devices[0]}, rank ${other} on ${devices[other]}; choose one with --device`,
      );
    const alone = async (_: string, value: string): Promise<readonly string[]> => [value];
    await this.#engine.join(communicator, {
      parts,
      alongTree: sameBits || parts !== this.sharing.ranks,
      exchange: exchange ?? alone,
    });
  }

  /**
   * Returns the work for the gradient of a part. The caller calls `ready` repeatedly during backward. It starts the
   * sums of the buckets that are complete, so that they are sent to other ranks during the rest of backward. The caller
   * calls `rest` after the last op.
   * @param ranges byte ranges of the gradients that are trained
   * @param whole all marks of the part, including those that backward has not reached yet; bytes without a mark are set
   * to 0
   * @param soFar the marks that backward has reached
   */
  endPart(
    part: number,
    ranges: readonly (readonly [number, number])[],
    whole: GradientLedger,
    soFar: GradientLedger,
  ): { readonly ready: () => void; readonly rest: () => void } {
    const { communicator } = this.sharing;
    const isLast = part + 1 === this.end;
    // A part's gradient is added to stored sums on the stream of the kernels, so both lanes must have ended.
    const adds = this.#plan.ends[part - this.first].add.length > 0;
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
        // An early start saves time only if the bucket is sent to other ranks. The order is the same on all ranks.
        if (adds && this.#engine.isInLane) return;
        while (communicator && isLast && next < pieces.length && soFar.marks >= pieces[next].completeAt) hand();
      },
      rest: () => {
        while (next < pieces.length) hand();
        this.#endPiece(part, this.#tallyPiece());
        if (communicator && isLast) this.#engine.finishSums();
      },
    };
  }

  #endPiece(part: number, { tensor, inSlot, slices }: Pick<Piece, 'tensor' | 'inSlot' | 'slices'>): void {
    const { add, keep } = this.#plan.ends[part - this.first];
    for (const slot of add) this.#engine.add(tensor, inSlot(slot), tensor);
    if (keep !== undefined) this.#engine.copy(inSlot(keep), tensor);
    if (part + 1 < this.end || !this.sharing.communicator) return;
    const waiting = Array.from({ length: this.#plan.waiting }, (_, slot) => inSlot(slot));
    this.#engine.startSum(tensor, [...waiting, tensor], slices);
  }

  #gradient(offset: number, bytes: number): Tensor {
    return this.#engine.tensor('gradients', offset, [bytes / elementBytes]);
  }

  /** The buckets, ordered from the end of memory to its beginning, because backward completes them in this order. */
  #pieces(ranges: readonly (readonly [number, number])[]): Piece[] {
    const pieces: Piece[] = [];
    for (const [first, stop] of [...ranges].reverse())
      for (const [begin, end] of cutAt(first, stop, this.#bucketBytes).reverse()) {
        const inSlot = (slot: number) =>
          this.#gradient(this.#weightBytes + slot * this.#slotBytes + begin, end - begin);
        const slices = this.slices?.within(begin, end).map((at) => at / elementBytes);
        pieces.push({ begin, end, tensor: this.#gradient(begin, end - begin), inSlot, slices });
      }
    return pieces;
  }

  /** The tallies (sums of the losses), which are summed after all buckets. */
  #tallyPiece(): Pick<Piece, 'tensor' | 'inSlot'> {
    const [rows, columns] = this.#tallies.shape;
    const inSlot = (slot: number) =>
      this.#gradient(2 * this.#weightBytes + slot * this.#slotBytes, rows * columns * elementBytes);
    return { tensor: { ...this.#tallies, shape: [rows * columns] }, inSlot };
  }
}

import { elementBytes } from '../engine/index.js';
import { chunkElements, cutAt, type OptimizerSlices, type OwnedRange } from './optimizerSlices.js';

/** Bytes [begin, end) of the parameters. */
type Bytes = readonly [number, number];

/** Begin and length in elements. */
export type Chunk = readonly [number, number];

/** A range of the parameters that one call of `adamUpdate` updates. */
export interface Stretch {
  /** Bytes of the parameters. */
  readonly begin: number;
  readonly end: number;
  /** The chunks that are updated, counted from the beginning of the range. */
  readonly chunks: readonly Chunk[];
  /** Whether the learning rate is that of the second step record. */
  readonly hasOwnRate: boolean;
}

/** An update: the norm of the gradient first, then the work, in this order. */
export interface UpdatePlan {
  /**
   * All chunks whose squares are summed for the norm, counted from the beginning of the arena. A chunk of another rank has
   * length 0.
   */
  readonly norm: readonly Chunk[];
  /** The rank that sums the squares of each chunk; undefined if this process sums those of all chunks. */
  readonly owners: readonly (number | undefined)[];
  readonly work: readonly {
    /** The part that this rank updates; undefined if it updates nothing. */
    readonly stretch: Stretch | undefined;
    /** The parts that all ranks update at this time. The updated parameters are then copied to all ranks. */
    readonly owned: readonly OwnedRange[];
  }[];
}

/**
 * Plans the update of some ranges of the parameters.
 * @param usual ranges with the usual learning rate
 * @param own ranges with a separate learning rate
 * @param bytes length of the arena of the parameters
 */
export function planUpdate(
  usual: readonly Bytes[],
  own: readonly Bytes[],
  bytes: number,
  slices?: OptimizerSlices,
): UpdatePlan {
  const cells = [...usual, ...own].flatMap(cellsOf);
  const owners = cells.map(([begin, end]) => slices?.owned(begin, end)[0].owner);
  return {
    norm: cells.map(([begin, end], i) => toChunk([begin, owners[i] === slices?.rank ? end : begin], 0)),
    owners,
    work: slices
      ? [...slicedWork(usual, false, slices), ...slicedWork(own, true, slices)]
      : wholeWork(usual, own, bytes),
  };
}

/** The ranges cut into the chunks of the optimizer, still in bytes. */
const cellsOf = ([begin, end]: Bytes): [number, number][] => cutAt(begin, end, chunkElements * elementBytes);

const toChunk = ([begin, end]: Bytes, from: number): Chunk => [
  (begin - from) / elementBytes,
  (end - begin) / elementBytes,
];

function wholeWork(usual: readonly Bytes[], own: readonly Bytes[], bytes: number): UpdatePlan['work'] {
  return [usual, own].flatMap((ranges, i) => {
    if (ranges.length === 0) return [];
    const chunks = ranges.flatMap(cellsOf).map((cell) => toChunk(cell, 0));
    return [{ stretch: { begin: 0, end: bytes, chunks, hasOwnRate: i === 1 }, owned: [] }];
  });
}

/** One piece of work for each bucket, so that its parameters are sent while those of the next bucket are updated. */
function slicedWork(ranges: readonly Bytes[], hasOwnRate: boolean, slices: OptimizerSlices): UpdatePlan['work'] {
  const pieces = ranges.flatMap(([begin, end]) => cutAt(begin, end, slices.bucketBytes));
  return pieces.map((piece) => {
    const owned = slices.owned(...piece);
    const ours = owned.find(({ owner }) => owner === slices.rank);
    const chunks = ours ? cellsOf([ours.begin, ours.end]).map((cell) => toChunk(cell, ours.begin)) : [];
    return { stretch: ours && { begin: ours.begin, end: ours.end, chunks, hasOwnRate }, owned };
  });
}

import { elementBytes } from '../engine/index.js';

/** Elements that the optimizer's ops process as one chunk. Chunks begin at multiples of it, counted from the arena's start. */
export const chunkElements = 65536;

const chunkBytes = chunkElements * elementBytes;

/** A range of bytes of the parameters, and the rank that updates it. */
export interface OwnedRange {
  readonly owner: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * Which rank updates which parameters when the optimizer is sharded (stage 1 of ZeRO, Rajbhandari et al. 2020, section
 * 5.1). The arena of the parameters is cut into buckets, and every bucket into one slice for each rank. A slice
 * consists of whole chunks, so one rank computes the sum of squares of each chunk, in the same order of additions for
 * any number of ranks. All numbers are in bytes.
 */
export class OptimizerSlices {
  readonly rank: number;
  readonly ranks: number;
  /** Length of a bucket. Buckets begin at its multiples, and gradients are summed one bucket at a time. */
  readonly bucketBytes: number;
  /**
   * Length of all slices that this rank updates. It is also the length of each of the two moments that this rank
   * stores.
   */
  readonly ownBytes: number;
  readonly #sliceBytes: number;

  /**
   * @param bytes length of the arena of the parameters
   * @param wanted requested length of a bucket; the actual length is a whole number of chunks for each rank
   */
  constructor({ rank, ranks }: { readonly rank: number; readonly ranks: number }, bytes: number, wanted: number) {
    const most = Math.ceil(bytes / chunkBytes / ranks);
    const chunks = Math.max(1, Math.min(most, Math.round(wanted / chunkBytes / ranks)));
    this.rank = rank;
    this.ranks = ranks;
    this.#sliceBytes = chunks * chunkBytes;
    this.bucketBytes = ranks * this.#sliceBytes;
    const whole = Math.floor(bytes / this.bucketBytes);
    const rest = (bytes % this.bucketBytes) - rank * this.#sliceBytes;
    this.ownBytes = whole * this.#sliceBytes + Math.min(Math.max(rest, 0), this.#sliceBytes);
  }

  /** The range [begin, end), cut where another rank becomes the owner. */
  owned(begin: number, end: number): OwnedRange[] {
    return cutAt(begin, end, this.#sliceBytes).map(([from, to]) => ({
      ...{ owner: Math.floor(from / this.#sliceBytes) % this.ranks, begin: from, end: to },
    }));
  }

  /**
   * The slices of a range that lies in one bucket: for each rank the distance of its slice from `begin`, and at last the
   * length of the range.
   */
  within(begin: number, end: number): number[] {
    const start = Math.floor(begin / this.bucketBytes) * this.bucketBytes;
    return Array.from({ length: this.ranks + 1 }, (_, rank) =>
      rank === this.ranks ? end - begin : Math.min(Math.max(start + rank * this.#sliceBytes, begin), end) - begin,
    );
  }

  /** The offset at which the moments of a byte of this rank are stored, from the start of the moments. */
  storedAt(offset: number): number {
    return Math.floor(offset / this.bucketBytes) * this.#sliceBytes + (offset % this.#sliceBytes);
  }
}

/** Cuts [begin, end) at the multiples of a length. */
export function cutAt(begin: number, end: number, length: number): [number, number][] {
  const cuts: [number, number][] = [];
  for (let from = begin; from < end;) {
    const to = Math.min(end, (Math.floor(from / length) + 1) * length);
    cuts.push([from, to]);
    from = to;
  }
  return cuts;
}

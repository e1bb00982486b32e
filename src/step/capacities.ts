import { isResident, rowCountsOf, type Batch, type FieldRows } from '../data/batches/batch.js';

/**
 * Capacities are rounded up, so that few different ones occur and most steps replay a recording. A number of rows is rounded to
 * a multiple of a power of two that is at least `rowRounding` and at least the given part of the rows. Heads of masked rows
 * cost little, so their capacities are rounded more coarsely.
 */
const rowRounding = 64;
const partOfRows = 1 / 64;
const partOfMaskedRows = 1 / 4;
const sampleRounding = 8;
const lengthRounding = 16;

/** Row capacities of a staged batch. Memory and launches depend only on these numbers. */
export interface Capacities {
  readonly samples: number;
  readonly language: number;
  readonly vision: number;
  readonly maskedTokens: number;
  readonly maskedObjects: number;
  /** The most rows of one sample. */
  readonly tokensOfSample: number;
  readonly objectsOfSample: number;
  /** Whether features are rows of the table on the device. */
  readonly resident: boolean;
}

/** The capacities of a batch, or of a batch with another number of similar samples. */
export function capacitiesOf(batch: Batch, samples = batch.size): Capacities {
  const rounded = (n: number, to: number): number => Math.max(1, Math.ceil(n / to)) * to;
  const share = (n: number, part: number): number => {
    const rows = (n * samples) / batch.size;
    let step = rowRounding;
    while (step < rows * part) step *= 2;
    return rounded(rows, step);
  };
  const counts = rowCountsOf(batch);
  return {
    samples: rounded(samples, sampleRounding),
    language: share(counts.language, partOfRows),
    vision: share(counts.vision, partOfRows),
    maskedTokens: share(counts.maskedTokens, partOfMaskedRows),
    maskedObjects: share(counts.maskedObjects, partOfMaskedRows),
    tokensOfSample: rounded(longestOf(batch.tokenOffsets), lengthRounding),
    objectsOfSample: rounded(longestOf(batch.objectOffsets), lengthRounding),
    resident: isResident(batch),
  };
}

/** The number of rows for which a field of the batch has room. */
export const capacityOf = (c: Capacities, rows: FieldRows): number => (rows === 'offsets' ? c.samples + 1 : c[rows]);

function longestOf(offsets: Int32Array): number {
  let longest = 0;
  for (let s = 1; s < offsets.length; s++) longest = Math.max(longest, offsets[s] - offsets[s - 1]);
  return longest;
}

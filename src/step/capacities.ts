import { formOf, rowCountsOf, type Batch, type BatchForm, type FieldRows } from '../data/batches/batch.js';
import { sharedSentenceRows } from './sharedSentences.js';

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

/** Row capacities of a staged batch: memory and launches depend on these numbers alone. */
export interface Capacities extends BatchForm {
  readonly samples: number;
  readonly language: number;
  readonly vision: number;
  readonly maskedTokens: number;
  readonly maskedObjects: number;
  /** The most rows of one sample. */
  readonly tokensOfSample: number;
  readonly objectsOfSample: number;
  /** Of fine-tuning: samples of one example, and soft targets. */
  readonly pictures: 1 | 2;
  readonly targets: number;
  /** Language rows when the sentence of each example is counted once; 0 if the samples do not share their sentences. */
  readonly sentences: number;
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
  const sentences = sharedSentenceRows(batch);
  return {
    samples: rounded(samples, sampleRounding),
    language: share(counts.language, partOfRows),
    vision: share(counts.vision, partOfRows),
    maskedTokens: share(counts.maskedTokens, partOfMaskedRows),
    maskedObjects: share(counts.maskedObjects, partOfMaskedRows),
    tokensOfSample: rounded(longestOf(batch.tokenOffsets), lengthRounding),
    objectsOfSample: rounded(longestOf(batch.objectOffsets), lengthRounding),
    pictures: batch.pictures ?? 1,
    targets: share(counts.targets, partOfMaskedRows),
    sentences: sentences === 0 ? 0 : share(sentences, partOfRows),
    ...formOf(batch),
  };
}

/** The capacity of a field of the batch, in rows. */
export function capacityOf(c: Capacities, rows: FieldRows): number {
  const examples = c.samples / c.pictures;
  const others = { offsets: c.samples + 1, examples, exampleOffsets: examples + 1 };
  return rows in others ? others[rows as keyof typeof others] : c[rows as Exclude<FieldRows, keyof typeof others>];
}

function longestOf(offsets: Int32Array): number {
  let longest = 0;
  for (let s = 1; s < offsets.length; s++) longest = Math.max(longest, offsets[s] - offsets[s - 1]);
  return longest;
}

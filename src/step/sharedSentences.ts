import { examplesOf, type Batch } from '../data/batches/batch.js';

type Sentences = Pick<Batch, 'size' | 'firstSample' | 'pictures' | 'tokenIds' | 'tokenOffsets'>;

/** The rows of sample `s` in the language stream. */
const rowsOf = ({ tokenOffsets }: Sentences, s: number): readonly [number, number] => [
  tokenOffsets[s],
  tokenOffsets[s + 1],
];

/**
 * Number of language rows when each example's sentence is counted once. 0 if an example is one sample, or if the samples of
 * some example have different sentences.
 */
export function sharedSentenceRows(batch: Sentences): number {
  const { pictures = 1 } = batch;
  if (pictures === 1) return 0;
  let rows = 0;
  for (let e = 0; e < examplesOf(batch); e++) {
    const [begin, end] = rowsOf(batch, e * pictures);
    const sentence = batch.tokenIds.subarray(begin, end);
    for (let s = e * pictures + 1; s < (e + 1) * pictures; s++) {
      const other = batch.tokenIds.subarray(...rowsOf(batch, s));
      if (other.length !== sentence.length || !other.every((id, i) => id === sentence[i])) return 0;
    }
    rows += sentence.length;
  }
  return rows;
}

/** The sentences of a batch whose samples share them by example. */
export interface SharedSentences {
  /** Token ids of one sentence an example: [sentence rows] */
  readonly tokenIds: Int32Array;
  /** Where each example's sentence begins, and the end of the last one: [examples + 1] */
  readonly offsets: Int32Array;
  /** (position of the example's first sample in the global batch, place in the sentence) of each row: [sentence rows × 2] */
  readonly rowIds: Int32Array;
  /** For each row of the language stream the sentence row with the same token: [language rows] */
  readonly rowOf: Int32Array;
}

/** The sentences of a batch for which `sharedSentenceRows` is not 0. */
export function sharedSentences(batch: Sentences): SharedSentences {
  const { pictures = 1 } = batch;
  const tokenIds = new Int32Array(sharedSentenceRows(batch));
  const rowIds = new Int32Array(2 * tokenIds.length);
  const offsets = new Int32Array(examplesOf(batch) + 1);
  const rowOf = new Int32Array(batch.tokenOffsets[batch.size]);
  for (let s = 0; s < batch.size; s++) {
    const e = Math.floor(s / pictures);
    const [begin, end] = rowsOf(batch, s);
    if (s % pictures === 0) {
      tokenIds.set(batch.tokenIds.subarray(begin, end), offsets[e]);
      offsets[e + 1] = offsets[e] + end - begin;
      for (let i = 0; i < end - begin; i++) rowIds.set([batch.firstSample + s, i], 2 * (offsets[e] + i));
    }
    for (let row = begin; row < end; row++) rowOf[row] = offsets[e] + row - begin;
  }
  return { tokenIds, offsets, rowIds, rowOf };
}

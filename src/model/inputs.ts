import type { FeatureRows, Rows, SampleRows, Tensor } from '../engine/index.js';

/** A batch on the device, as the model reads it: packed rows of two streams, without padding. */
export interface ModelInputs {
  readonly samples: Rows;
  readonly language: Rows;
  readonly vision: Rows;
  /** Language rows, then vision rows. */
  readonly stacked: Rows;
  /** [language rows] i32 */
  readonly tokenIds: Tensor;
  /** The positions of the tokens and objects of each sample in their streams. */
  readonly tokens: SampleRows;
  readonly objects: SampleRows;
  /**
   * (global sample, row in the sample) of each stacked row, [stacked rows, 2] i32. It is the key of the dropout of the
   * row.
   */
  readonly rowIds: Tensor;
  /** The row id of the first token of each sample: [samples, 2] i32. */
  readonly firstRowIds: Tensor;
  /** [vision rows, visualFeatDim], or row numbers of a table on the device. */
  readonly visualFeats: Tensor | FeatureRows;
  /** [vision rows, 4] */
  readonly visualPos: Tensor;
  /** Only in batches of examples with two pictures and one sentence. */
  readonly sentences?: SentenceInputs | undefined;
}

/** Contains the sentence of each example once. The language stream contains it once for each picture. */
export interface SentenceInputs {
  readonly rows: Rows;
  /** [sentence rows] i32 */
  readonly tokenIds: Tensor;
  /** The positions of the tokens of each example's sentence. */
  readonly tokens: SampleRows;
  /** As `ModelInputs.rowIds`, with the id of the example's first sample: [sentence rows, 2] i32 */
  readonly rowIds: Tensor;
  /** For each language row, the number of the sentence row with the same token: [language rows] i32 */
  readonly rowOf: Tensor;
}

/** The row ids of objects begin here, so that token i and object i of a sample do not share dropout masks. */
export const firstObjectRowId = 0x10000;

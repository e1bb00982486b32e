/**
 * A batch on the host: the packed rows of two streams and what is to be predicted about them.
 *
 * Sample s of the batch owns the language rows `tokenOffsets[s] … tokenOffsets[s + 1] - 1` and the
 * vision rows `objectOffsets[s] … objectOffsets[s + 1] - 1`. No row is padding.
 */
export interface Batch {
  /** Samples in this batch (B). */
  readonly size: number;
  /** Position of sample 0 within the global batch; keys the dropout, so ranks and accumulation change nothing. */
  readonly firstSample: number;
  /** One name a sample (image id and sentence), for messages about it. */
  readonly sampleIds: readonly string[];

  /** Masked WordPiece ids, [CLS] and [SEP] included: [Σ tokens]. */
  readonly tokenIds: Int32Array;
  /** [B + 1]. */
  readonly tokenOffsets: Int32Array;
  /** [B + 1]. */
  readonly objectOffsets: Int32Array;
  /** RoI features as the model sees them, masking done: [Σ objects × visualFeatDim]; none where `resident` names them. */
  readonly visualFeats: Float32Array;
  /** Boxes as shares of the picture: [Σ objects × 4]. */
  readonly visualPos: Float32Array;

  /** Masked-LM: language rows to predict, ascending, and their original ids. */
  readonly maskedTokens: { readonly rows: Int32Array; readonly labels: Int32Array };
  /** Detector's class of every object and its confidence: [Σ objects]. */
  readonly objects: { readonly labels: Int32Array; readonly confs: Float32Array };
  /** Detector's attribute of every object and its confidence: [Σ objects]. */
  readonly attributes: { readonly labels: Int32Array; readonly confs: Float32Array };
  /** Feature regression: vision rows to predict, ascending, and their original features [rows × visualFeatDim]. */
  readonly maskedObjects: { readonly rows: Int32Array; readonly targets: Float32Array };
  /**
   * Features that lie on the device: the row of its table for each object as the model sees it, -1 for zeros, [Σ objects];
   * and for each of `maskedObjects` the row of its original feature.
   */
  readonly resident?: { readonly rows: Int32Array; readonly targets: Int32Array };
  /** 1 where sentence and image belong together, 0 where the sentence was swapped: [B]. */
  readonly matched: Int32Array;
  /** Index into the answer table, -1 where there is no question to answer: [B]. */
  readonly answers: Int32Array;
}

import type { WordPiece } from '../text/wordPiece.js';
import type { AnswerTable } from './answers.js';
import type { FeatureSource } from './featureSource.js';

export interface OpenPretrainOptions {
  /** Folder with the data (`--data`). */
  readonly dir: string;
  /** One split or several with commas between: `train`, `mscoco_train,mscoco_nominival,vgnococo`. */
  readonly splits: string;
  readonly wordPiece: WordPiece;
  /** Most tokens of a sentence, [CLS] and [SEP] included; default 20. */
  readonly maxTokens?: number;
  /** Take the answers of another data set (validation takes training's); default: what the folder has. */
  readonly answers?: AnswerTable;
  /** Decode all features once and keep them; default: when the files are under 512 MiB together. */
  readonly inMemory?: boolean;
  /** Largest share of sentences whose image has no features; above it opening fails. Default 0.01. */
  readonly maxMissingShare?: number;
}

/** What was found and what was left out on opening. */
export interface DataReport {
  readonly sentences: number;
  /** Sentences with at least one answer of the table. */
  readonly questions: number;
  /** Images that have a sentence. */
  readonly images: number;
  readonly imagesWithoutSentences: number;
  /** Left out: their image has no features. */
  readonly sentencesWithoutImage: number;
  /** Cut to `maxTokens`. */
  readonly truncatedSentences: number;
  /** Left out: answers that are not in the table. */
  readonly unknownAnswers: number;
}

/** The samples of one or more splits, one per sentence. Typed arrays: there may be ten million. */
export interface PretrainData {
  /** The splits, as given. */
  readonly name: string;
  /** Samples (N). */
  readonly size: number;
  readonly features: FeatureSource;
  /** Image of each sample, as a position in `features`: [N]. */
  readonly images: Int32Array;
  /** WordPiece ids of all sentences, [CLS] and [SEP] included; sample i has `tokenOffsets[i] … tokenOffsets[i + 1] - 1`. */
  readonly tokens: Uint16Array | Int32Array;
  readonly tokenOffsets: Uint32Array;
  /** Answers of all samples and their scores; sample i has `answerOffsets[i] … answerOffsets[i + 1] - 1`. */
  readonly answerIds: Int32Array;
  readonly answerScores: Float32Array;
  readonly answerOffsets: Uint32Array;
  /** The answer table; absent: no questions can be answered, QA is off. */
  readonly answers: AnswerTable | undefined;
  readonly wordPiece: Pick<WordPiece, 'vocabSize' | 'maskId'>;
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly report: DataReport;
  /** `<image id>_<sentence set>_<number>`, the original's uid. */
  sampleId(sample: number): string;
  close(): Promise<void>;
}

export declare function openPretrainData(options: OpenPretrainOptions): Promise<PretrainData>;

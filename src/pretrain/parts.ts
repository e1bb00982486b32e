import type { DataFacts } from '../config/resolveConfig.js';
import type { ModelConfig } from '../config/modelConfig.js';
import type { ResolvedRunConfig, RunConfig } from '../config/runConfig.js';
import type { LossName } from '../config/tasks.js';
import type { Batch } from '../data/batches/batch.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import type { LoadOptions } from '../step/featureTable.js';
import type { LossWeights, MeanLosses, Tallies } from '../step/losses.js';
import type { RunControls, Trainable, TrainObserver } from '../train/index.js';

/** The description of a run with a data folder. */
export type DescribedRun = RunConfig & { readonly data: { readonly folder: string } };

/** The opened data of a run. */
export interface OpenedData {
  readonly facts: DataFacts;
  /**
   * The answer table, by row of the answer head. If absent, there is no answer table, and question answering is off.
   */
  readonly answers?: readonly string[] | undefined;
  readonly source: PretrainSource;
  /** Features whose rows the batches name; they are loaded onto the device before the first batch is made. */
  readonly table?: FeatureTable | undefined;
  /** A checksum of the training samples. If absent, a resumed run cannot check that the samples are the same. */
  readonly samples?: string | undefined;
  /**
   * Describes the difference between these samples and the samples of a saved checksum; undefined if there is none. By
   * default the checksums are compared.
   */
  readonly samplesDifference?: ((saved: string) => string | undefined) | undefined;
  /** WordPieces by id, written into each checkpoint. If absent, checkpoints have no vocabulary. */
  readonly vocabulary?: readonly string[] | undefined;
  /** Losses for which the training data have no label at all, each with the reason, for messages. */
  readonly unlabelled?: Readonly<Partial<Record<LossName, string>>> | undefined;
  /** The longest sentence and the image with the most objects. If absent, only the steps check the size of samples. */
  readonly largest?: Readonly<Record<'tokens' | 'objects', LargestSample>> | undefined;
  /** The counts of the training and the validation data; absent if they were not counted. */
  readonly coverage?: readonly DataCoverage[] | undefined;
  close(): Promise<void>;
}

/** How many sentences (or questions) have an image, and how many images have a sentence. */
export interface DataCoverage {
  /** The splits, with commas between. */
  readonly name: string;
  /** Sentences that are samples, and those whose image has no features. */
  readonly sentences: number;
  readonly withoutImage: number;
  /** Images with sentences, and those without. Absent if only questions are counted. */
  readonly images?: number | undefined;
  readonly withoutSentences?: number | undefined;
}

/** The largest sample of its kind. */
export interface LargestSample {
  readonly count: number;
  /** Which sample or image it is, for messages. */
  readonly where: string;
}

/** The functions of the model that pre-training uses in addition to those that training uses. */
export interface PretrainModel extends Trainable<LossName> {
  readonly config: ModelConfig;
  /** Draws the weights from the seed and sets both moments to zero. Rejects with the signal's reason. */
  initialize(seed: number, signal?: AbortSignal): Promise<void>;
  /**
   * Keeps features on the device, for batches that name their rows. Rejects with OUT_OF_MEMORY before it reads the
   * features, or with the signal's reason.
   */
  loadFeatures(table: FeatureTable, options?: LoadOptions): Promise<void>;
  /**
   * The answer to each sample, computed without dropout: the row of the answer head with the largest logit. [samples]
   */
  answer(batch: Batch): Promise<Int32Array>;
  /** The largest number of tokens or objects of one sample; absent if no limit is known. */
  readonly mostRows?: number | undefined;
  /**
   * The mean of each loss that is on, as `step` reports it (with the normalizer, without the weight), and Σ weight ×
   * loss.
   */
  losses(
    tallies: Tallies<LossName>,
    weights: LossWeights<LossName>,
  ): { readonly total: number; readonly losses: MeanLosses<LossName> };
  /** Frees the device once the work enqueued so far is done. May be called again. */
  dispose(): void | Promise<void>;
}

/** The functions that open the data and the model of a run. */
export interface PretrainParts {
  /** Rejects with the signal's reason soon after the signal. */
  openData(config: DescribedRun, controls?: RunControls): Promise<OpenedData>;
  openModel(config: ResolvedRunConfig, observer?: TrainObserver): Promise<PretrainModel>;
}

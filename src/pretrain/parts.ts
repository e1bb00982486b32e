import type { DataFacts } from '../config/resolveConfig.js';
import type { ModelConfig } from '../config/modelConfig.js';
import type { ResolvedRunConfig, RunConfig } from '../config/runConfig.js';
import type { LossName } from '../config/tasks.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import type { LoadOptions } from '../step/featureTable.js';
import type { LossWeights, MeanLosses, Tallies } from '../step/losses.js';
import type { RunControls, Trainable, TrainObserver } from '../train/index.js';

/** A run whose data folder is given. */
export type DescribedRun = RunConfig & { readonly data: { readonly folder: string } };

/** Data of a run, opened. */
export interface OpenedData {
  readonly facts: DataFacts;
  /** Absent: there is no answer table, QA is off. */
  readonly answers?: readonly string[] | undefined;
  readonly source: PretrainSource;
  /** Features that the batches only name: to be put onto the device before the first batch is made. */
  readonly table?: FeatureTable | undefined;
  /** Changes with the training samples; absent: it is not known whether they are the same. */
  readonly samples?: string | undefined;
  close(): Promise<void>;
}

/** What pre-training asks of a model on a device, beside what training does. */
export interface PretrainModel extends Trainable<LossName> {
  readonly config: ModelConfig;
  /** Initial weights from the seed; both moments zero. Rejects with the signal's reason. */
  initialize(seed: number, signal?: AbortSignal): Promise<void>;
  /**
   * Keeps features on the device, for batches that name their rows. Rejects with OUT_OF_MEMORY before anything is read, and
   * with the signal's reason.
   */
  loadFeatures(table: FeatureTable, options?: LoadOptions): Promise<void>;
  /** Mean of each loss that is on, as `step` reports it (normalizer in, weight out), and Σ weight × loss. */
  losses(
    tallies: Tallies<LossName>,
    weights: LossWeights<LossName>,
  ): { readonly total: number; readonly losses: MeanLosses<LossName> };
  /** Idempotent; drains first. */
  dispose(): void | Promise<void>;
}

/** How a run gets its data and its model. */
export interface PretrainParts {
  /** Rejects with the signal's reason, soon. */
  openData(config: DescribedRun, controls?: RunControls): Promise<OpenedData>;
  openModel(config: ResolvedRunConfig, observer?: TrainObserver): Promise<PretrainModel>;
}

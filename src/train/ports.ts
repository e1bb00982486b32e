import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import type { LoadOptions } from '../step/featureTable.js';
import type { LossName, LossWeights, StepOptions, StepResult, Tallies } from '../pretrain/losses.js';

export type { PretrainSource } from '../data/batches/pretrainSource.js';

/** One stored tensor, by its transformers name. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What is stored of every parameter: itself and BertAdam's two moments. */
export const stateKinds = ['parameter', 'firstMoment', 'secondMoment'] as const;

export type StateKind = (typeof stateKinds)[number];

/** What the trainer asks of a model on a device. Calls run in the order in which they are made. */
export interface PretrainModel {
  readonly config: ModelConfig;
  /** Every stored tensor, each once (the tied masked-LM decoder is not one), in a fixed order. */
  readonly parameters: readonly StateEntry[];
  read(kind: StateKind, name: string): Promise<Float32Array>;
  /** Throws BAD_ARGUMENT when `values` has another length than the tensor. */
  write(kind: StateKind, name: string, values: Float32Array): Promise<void>;
  /** Initial weights from the seed; both moments zero. Rejects with the signal's reason. */
  initialize(seed: number, signal?: AbortSignal): Promise<void>;
  /**
   * Keeps features on the device, for batches that name their rows. Rejects with OUT_OF_MEMORY before anything is read, and
   * with the signal's reason.
   */
  loadFeatures(table: FeatureTable, options?: LoadOptions): Promise<void>;
  /**
   * One optimizer step over the parts of one global batch (gradient accumulation). Enqueues at once and resolves when
   * its losses are known. Rejects with NOT_FINITE when the gradient norm is not finite; weights and moments are then
   * as before the step.
   */
  step(parts: readonly Batch[], options: StepOptions): Promise<StepResult>;
  /** Forward only, dropout off: the sums of every loss whose weight is not 0 (the others may be zero tallies). */
  evaluate(batch: Batch, weights: LossWeights): Promise<Tallies>;
  /** Mean of each loss that is on, as `step` reports it (normalizer in, weight out), and Σ weight × loss. */
  losses(
    tallies: Tallies,
    weights: LossWeights,
  ): { readonly total: number; readonly losses: Readonly<Partial<Record<LossName, number>>> };
  /** Idempotent; drains first. */
  dispose(): void | Promise<void>;
}

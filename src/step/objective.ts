import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { LossSlot } from '../engine/index.js';
import type { Encoder } from '../model/encoder.js';
import type { ParameterSpec } from '../model/parameters.js';
import type { LossCounts, LossWeights } from './losses.js';
import type { StagedBatch } from './staging.js';

/** One forward pass: its tape and weights, its batch, and the places of its losses. */
export interface ForwardPass<L extends string> {
  readonly encoder: Encoder;
  readonly batch: StagedBatch;
  readonly weights: LossWeights<L>;
  /** The place of a loss's sums, and of its scale in the step record. */
  readonly slotOf: (loss: L) => LossSlot;
}

/** The objective of training: losses, heads, and the op calls that compute them. */
export interface Objective<L extends string, Outputs> {
  /** In the order of the device's loss record; at most 8. */
  readonly losses: readonly L[];
  /** All parameters, in the order of memory. */
  readonly parameters: (config: ModelConfig) => readonly ParameterSpec[];
  /** Constant factor of each loss in addition to its weight. */
  readonly factors: (config: ModelConfig) => Readonly<Record<L, number>>;
  /** The number of labels (or objects) by which each loss of a batch is divided. */
  readonly counts: (batch: Batch) => LossCounts<L>;
  /** Groups of parameters that the losses with a weight train. The optimizer leaves other groups as they are, without decay. */
  readonly groups: (weights: LossWeights<L>) => ReadonlySet<string>;
  /** Groups whose learning rate is that of the step times a factor. */
  readonly ownRate?: { readonly groups: ReadonlySet<string>; readonly factor: number } | undefined;
  /** The op calls of a forward pass; the losses record their backward on the encoder's tape. */
  readonly forward: (pass: ForwardPass<L>) => Outputs;
}

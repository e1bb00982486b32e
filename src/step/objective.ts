import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { LossSlot } from '../engine/index.js';
import type { Encoder } from '../model/encoder.js';
import type { ParameterSpec } from '../model/parameters.js';
import type { LossCounts, LossWeights } from './losses.js';
import type { StagedBatch } from './staging.js';

/** One forward pass: where it runs, over what, and where its losses go. */
export interface ForwardPass<L extends string> {
  readonly encoder: Encoder;
  readonly batch: StagedBatch;
  readonly weights: LossWeights<L>;
  /** Where a loss leaves its sums, and its scale in the step record. */
  readonly slotOf: (loss: L) => LossSlot;
}

/** What a model is trained for: its losses, its heads, and the op calls that compute them. */
export interface Objective<L extends string, Outputs> {
  /** In the order of the device's loss record; at most 8. */
  readonly losses: readonly L[];
  /** All parameters, in the order of memory. */
  readonly parameters: (config: ModelConfig) => readonly ParameterSpec[];
  /** Constant factor of each loss beside its weight. */
  readonly factors: (config: ModelConfig) => Readonly<Record<L, number>>;
  /** Labels (or objects) that each loss of a batch is divided by. */
  readonly counts: (batch: Batch) => LossCounts<L>;
  /** Groups of parameters that losses with a weight train; the optimizer leaves the others untouched, decay included. */
  readonly groups: (weights: LossWeights<L>) => ReadonlySet<string>;
  /** Groups whose learning rate is that of the step times a factor. */
  readonly ownRate?: { readonly groups: ReadonlySet<string>; readonly factor: number } | undefined;
  /** The op calls of a forward pass; the losses record their backward on the encoder's tape. */
  readonly forward: (pass: ForwardPass<L>) => Outputs;
}

import type { Batch } from '../data/batches/batch.js';
import type { BatchPosition, PositionedBatch } from '../data/batches/batching.js';
import type { TrainRanks } from './ranks.js';
import type { StepSharing } from '../step/gradientParts.js';
import type { LossWeights, MeanLosses, StepOptions, StepResult, Tallies } from '../step/losses.js';

/** One stored tensor, by its transformers name. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Tensors that are stored for every parameter: the parameter itself and BertAdam's two moments. */
export const stateKinds = ['parameter', 'firstMoment', 'secondMoment'] as const;

export type StateKind = (typeof stateKinds)[number];

/** The tensors of a model on a device. Calls run in the order in which they are made. */
export interface StoredModel {
  /** Every stored tensor once, in a fixed order. The masked-LM decoder is tied to the word table and not stored. */
  readonly parameters: readonly StateEntry[];
  /** With a sharded optimizer all ranks must read the same moments in the same order. */
  read(kind: StateKind, name: string): Promise<Float32Array>;
  /** @throws BAD_ARGUMENT when `values` has another length than the tensor */
  write(kind: StateKind, name: string, values: Float32Array): Promise<void>;
}

/** The model as the trainer uses it, whatever its losses are. */
export interface Trainable<L extends string = string> extends StoredModel {
  /**
   * One optimizer step over the parts of one global batch (gradient accumulation). Enqueues its work and resolves when
   * its losses are known. Rejects with NOT_FINITE when a loss or the gradient is not finite; weights and moments are
   * then as before the step, and the steps that are already enqueued are not made.
   */
  step(parts: readonly Batch[], options: StepOptions<L>): Promise<StepResult<L>>;
  /**
   * Before moments are loaded, and before the first step: gradients are made in parts, and summed over the ranks. Absent: the
   * model cannot do that.
   */
  share?(sharing: StepSharing): Promise<void>;
  /** Forward only, dropout off. The sums of every loss whose weight is not 0; tallies of the others may be zeros. */
  evaluate(batch: Batch, weights: LossWeights<L>): Promise<Tallies<L>>;
}

/** The training batches. */
export interface TrainSource {
  readonly batchesPerEpoch: number;
  /** Global batches from `from` on, without end, in the order of their positions. */
  train(from: BatchPosition): AsyncIterable<PositionedBatch>;
  /**
   * Gives the memory of a batch's features back, for a later batch. Nobody may read them afterwards. The garbage
   * collector frees a batch that is never released.
   */
  release(batch: Batch): void;
}

/** The figures of a validation. */
export interface Validation<L extends string = string> {
  /** Σ weight × loss. */
  readonly loss: number;
  readonly losses: MeanLosses<L>;
  /** By loss: the share of labels whose arg-max was right; absent for a loss without labels or without classes. */
  readonly accuracy: MeanLosses<L>;
  /** What the best checkpoint is chosen by, the higher the better; absent: by the loss. */
  readonly score?: number | undefined;
  /** By loss, then by data set: the same share, where samples come from several data sets. */
  readonly accuracyBySet?: Readonly<Partial<Record<L, Readonly<Record<string, number>>>>> | undefined;
}

export interface ValidationControls {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of batches done so far. */
  readonly progress?: ((batches: number) => void) | undefined;
  /** The ranks that share the validation; its source gives each of them its own batches. */
  readonly ranks?: TrainRanks | undefined;
}

/** A model, its data, and everything that differs between pre-training and the tasks of fine-tuning. */
export interface Training {
  readonly model: Trainable;
  readonly source: TrainSource;
  /** Weights of the losses in an epoch. */
  readonly weights: (epoch: number) => LossWeights<string>;
  /** Absent: the run has no validation data. Resolves with undefined when there is no sample, or after the signal. */
  readonly validate?: ((epoch: number, controls: ValidationControls) => Promise<Validation | undefined>) | undefined;
  /** Text files that each checkpoint holds beside the weights, by name: `config.json`, `answers.json`, `vocab.txt`. */
  readonly files: Readonly<Record<string, string>>;
  /** A checksum of the training samples; absent: a resumed run cannot check that they are the same. */
  readonly samples?: string | undefined;
  /** What differs between the samples of a saved checksum and these; undefined: nothing. By default checksums must be equal. */
  readonly samplesDifference?: ((saved: string) => string | undefined) | undefined;
}

/** The settings of a run that the trainer reads. */
export interface TrainSettings {
  readonly seed: number;
  /** Samples of a global batch. */
  readonly batchSize: number;
  /** Parts of a global batch whose gradients are made on their own; absent: one for each rank. */
  readonly gradientParts?: number | undefined;
  /** The length of the run: passes over the samples, or optimizer steps. */
  readonly epochs?: number | undefined;
  readonly maxSteps?: number | undefined;
  readonly optimizer: {
    /** Peak learning rate. */
    readonly lr: number;
    /** Share of the steps in which the learning rate rises, [0, 1). */
    readonly warmup: number;
  };
  readonly saveEvery: number;
  /** Steps from one validation to the next; once an epoch unless given. */
  readonly validEvery?: number | undefined;
  readonly earlyStop?: number | undefined;
  /** Newest checkpoints to keep, besides the best. */
  readonly keep: number;
  /** The checkpoint at the end of every Nth epoch is never removed. */
  readonly keepEvery?: number | undefined;
}

import type { Batch } from '../data/batches/batch.js';
import type { BatchPosition, PositionedBatch } from '../data/batches/batching.js';
import type { LossWeights, MeanLosses, StepOptions, StepResult, Tallies } from '../step/losses.js';

/** One stored tensor, by its transformers name. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What is stored of every parameter: itself and BertAdam's two moments. */
export const stateKinds = ['parameter', 'firstMoment', 'secondMoment'] as const;

export type StateKind = (typeof stateKinds)[number];

/** The tensors of a model on a device. Calls run in the order in which they are made. */
export interface StoredModel {
  /** Every stored tensor, each once (the tied masked-LM decoder is not one), in a fixed order. */
  readonly parameters: readonly StateEntry[];
  read(kind: StateKind, name: string): Promise<Float32Array>;
  /** Throws BAD_ARGUMENT when `values` has another length than the tensor. */
  write(kind: StateKind, name: string, values: Float32Array): Promise<void>;
}

/** What the trainer asks of a model, whatever its losses are. */
export interface Trainable<L extends string = string> extends StoredModel {
  /**
   * One optimizer step over the parts of one global batch (gradient accumulation). Enqueues at once and resolves when
   * its losses are known. Rejects with NOT_FINITE when the gradient norm is not finite; weights and moments are then
   * as before the step.
   */
  step(parts: readonly Batch[], options: StepOptions<L>): Promise<StepResult<L>>;
  /** Forward only, dropout off: the sums of every loss whose weight is not 0 (the others may be zero tallies). */
  evaluate(batch: Batch, weights: LossWeights<L>): Promise<Tallies<L>>;
}

/** Training batches as the trainer takes them. */
export interface TrainSource {
  readonly batchesPerEpoch: number;
  /** Global batches from `from` on, without end. */
  train(from: BatchPosition): AsyncIterable<PositionedBatch>;
  /**
   * Gives the memory of a batch's features back, for a later batch; nobody may read them afterwards. A batch that is
   * never released is left to the garbage collector.
   */
  release(batch: Batch): void;
}

/** The figures of a validation. */
export interface Validation<L extends string = string> {
  /** Σ weight × loss. */
  readonly loss: number;
  readonly losses: MeanLosses<L>;
  /** Shares of labels whose arg-max was right; a loss without labels, or without classes, has none. */
  readonly accuracy: MeanLosses<L>;
  /** What the best checkpoint is chosen by, the higher the better; absent: by the loss. */
  readonly score?: number | undefined;
}

export interface ValidationControls {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of batches done so far. */
  readonly progress?: ((batches: number) => void) | undefined;
}

/** A thing that can be trained: a model, its data, and what differs between pre-training and fine-tuning tasks. */
export interface Training {
  readonly model: Trainable;
  readonly source: TrainSource;
  /** Weights of the losses in an epoch. */
  readonly weights: (epoch: number) => LossWeights<string>;
  /** Absent: the run has no validation data. Resolves with undefined when there is nothing to validate, or the signal came. */
  readonly validate?: ((epoch: number, controls: ValidationControls) => Promise<Validation | undefined>) | undefined;
  /** Text files that each checkpoint holds beside the weights, by name: `config.json`, `answers.json`. */
  readonly files: Readonly<Record<string, string>>;
  /** Changes with the training samples; absent: it is not known whether they are the same. */
  readonly samples?: string | undefined;
}

/** The settings of a run that the trainer reads. */
export interface TrainSettings {
  readonly seed: number;
  /** Samples of a global batch. */
  readonly batchSize: number;
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
  /** Checkpoints to keep besides the best. */
  readonly keep: number;
}

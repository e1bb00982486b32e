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
   * its losses are known. Rejects with NOT_FINITE if a loss or the gradient is not finite. Weights and moments then do not
   * change, and steps that are already enqueued do not change them either.
   */
  step(parts: readonly Batch[], options: StepOptions<L>): Promise<StepResult<L>>;
  /**
   * Called before moments are loaded and before the first step. Gradients are then computed in parts and summed over the
   * ranks. Absent if not supported.
   */
  share?(sharing: StepSharing): Promise<void>;
  /** Runs forward without dropout. Returns the sums of each loss with a weight other than 0; other tallies may be zeros. */
  evaluate(batch: Batch, weights: LossWeights<L>): Promise<Tallies<L>>;
}

/** The training batches. */
export interface TrainSource {
  readonly batchesPerEpoch: number;
  /** Global batches from `from` on, without end, in the order of their positions. */
  train(from: BatchPosition): AsyncIterable<PositionedBatch>;
  /**
   * Allows a later batch to use the memory of this batch's features, which must not be read afterwards. The garbage
   * collector frees a batch that is never released.
   */
  release(batch: Batch): void;
}

/** The figures of a validation. */
export interface Validation<L extends string = string> {
  /** Σ weight × loss. */
  readonly loss: number;
  readonly losses: MeanLosses<L>;
  /** For each loss, the share of labels that the arg-max predicted; absent for a loss without labels or without classes. */
  readonly accuracy: MeanLosses<L>;
  /** The best checkpoint is the one with the highest score. If absent, it is the one with the smallest loss. */
  readonly score?: number | undefined;
  /** The same share for each loss and data set, if the samples come from several data sets. */
  readonly accuracyBySet?: Readonly<Partial<Record<L, Readonly<Record<string, number>>>>> | undefined;
}

export interface ValidationControls {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of batches done so far. */
  readonly progress?: ((batches: number) => void) | undefined;
  /** The ranks that share the validation. The source gives each rank different batches. */
  readonly ranks?: TrainRanks | undefined;
}

/** A model, its data, and all other parts in which pre-training and the tasks of fine-tuning differ. */
export interface Training {
  readonly model: Trainable;
  readonly source: TrainSource;
  /** Weights of the losses in an epoch. */
  readonly weights: (epoch: number) => LossWeights<string>;
  /** Absent if the run has no validation data. Resolves with undefined if there is no sample, or after the signal. */
  readonly validate?: ((epoch: number, controls: ValidationControls) => Promise<Validation | undefined>) | undefined;
  /** Text files of each checkpoint by name, beside the weights: `config.json`, `answers.json`, `vocab.txt`. */
  readonly files: Readonly<Record<string, string>>;
  /** A checksum of the training samples. If absent, a resumed run cannot check that the samples are the same. */
  readonly samples?: string | undefined;
  /**
   * Describes the difference between these samples and the samples of a saved checksum; undefined if there is none. By
   * default the checksums are compared.
   */
  readonly samplesDifference?: ((saved: string) => string | undefined) | undefined;
}

/** The settings of a run that the trainer reads. */
export interface TrainSettings {
  readonly seed: number;
  /** Samples of a global batch. */
  readonly batchSize: number;
  /** Number of parts of a global batch whose gradients are computed separately; by default one for each rank. */
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
  /** Steps from one validation to the next; by default there is one validation an epoch. */
  readonly validEvery?: number | undefined;
  readonly earlyStop?: number | undefined;
  /** Number of newest checkpoints to keep, besides the best. */
  readonly keep: number;
  /** The checkpoint at the end of every Nth epoch is never removed. */
  readonly keepEvery?: number | undefined;
}

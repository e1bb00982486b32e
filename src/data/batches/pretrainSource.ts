import { availableParallelism } from 'node:os';
import type { Batch } from './batch.js';
import { batchesPerEpoch, trainBatches, validBatches } from './batching.js';
import type { BatchPosition, PositionedBatch, TrainBatchOptions } from './batching.js';
import { FeatureMemory } from './featureMemory.js';
import type { PretrainTasks } from './masking.js';
import type { NamedData } from './batchMaker.js';
import type { QuestionBatch } from './questions.js';
import { demandSameWidth } from '../features/mergedFeatures.js';
import type { SharedObjects } from '../features/featureSource.js';

export interface PretrainSourceOptions extends Omit<TrainBatchOptions, 'from' | 'memory'> {
  /** Tasks that validation is prepared for; default: all. */
  readonly validTasks?: PretrainTasks | undefined;
  readonly train: NamedData;
  /** Absent: validation is empty. */
  readonly valid?: NamedData | undefined;
  /** Threads that make batches ahead; default: `defaultWorkers`. */
  readonly workers?: number | undefined;
  /** Samples of one validation batch; default: `partSize`, else `batchSize`. */
  readonly validBatchSize?: number | undefined;
}

const MOST_DEFAULT_WORKERS = 4;

/**
 * Threads that prepare batches of these data unless one says how many: none for features in memory or on the device,
 * where copying is all there is to do; else one less than there are cores, from 1 to 4.
 */
export function defaultWorkers({ features }: Pick<NamedData, 'features'>, cores = availableParallelism()): number {
  const inMemory = (shared: SharedObjects): boolean =>
    shared.form === 'merged' ? shared.parts.every(inMemory) : shared.form !== 'tsv';
  return inMemory(features.shared) ? 0 : Math.min(Math.max(cores - 1, 1), MOST_DEFAULT_WORKERS);
}

/** Training and validation data as a trainer takes them. */
export interface PretrainSource {
  readonly batchesPerEpoch: number;
  /** Global batches from `from` on, without end. */
  train(from: BatchPosition): AsyncIterable<PositionedBatch>;
  /** The validation samples with masks and swaps drawn once from a fixed seed. */
  validate(): AsyncIterable<Batch>;
  /** The labelled questions of the validation samples, neither swapped nor masked, with what is needed to score answers. */
  validateAnswers(): AsyncIterable<QuestionBatch>;
  /**
   * Gives the memory of a batch's features back, for a later batch; nobody may read them afterwards. A batch that is
   * never released is left to the garbage collector.
   */
  release(batch: Batch): void;
}

/** Throws BAD_DATA when training and validation features differ in width. */
export function pretrainSource(options: PretrainSourceOptions): PretrainSource {
  const { train, valid, validTasks, validBatchSize = options.partSize ?? options.batchSize, ...batching } = options;
  const { rates, workerScript } = options;
  const workers = {
    train: options.workers ?? defaultWorkers(train),
    valid: valid === undefined ? 0 : (options.workers ?? defaultWorkers(valid)),
  };
  const memory = new FeatureMemory({ shared: workers.train > 0 || workers.valid > 0 });
  if (valid) demandSameWidth(train.features, valid.features);
  const validation = (answers: boolean): AsyncIterable<QuestionBatch> =>
    valid === undefined
      ? nothing()
      : validBatches(valid, {
          ...{ batchSize: validBatchSize, tasks: validTasks, rates, unmasked: answers, answered: answers },
          ...{ workers: workers.valid, workerScript, memory, share: options.share },
        });
  return {
    batchesPerEpoch: batchesPerEpoch(train.size, options.batchSize),
    train: (from) => trainBatches(train, { ...batching, from, memory, workers: workers.train }),
    validate: () => validation(false),
    validateAnswers: () => validation(true),
    release: (batch) => memory.release(batch),
  };
}

async function* nothing(): AsyncGenerator<Batch> {
  // No validation data: nothing comes.
}

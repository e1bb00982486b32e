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
  /** Tasks for which validation batches are prepared; default: all. */
  readonly validTasks?: PretrainTasks | undefined;
  readonly train: NamedData;
  /** If absent, validation is empty. */
  readonly valid?: NamedData | undefined;
  /** Threads that prepare batches; default: `defaultWorkers`. */
  readonly workers?: number | undefined;
  /** Samples of one validation batch; default: `partSize`, or `batchSize` if there is no `partSize`. */
  readonly validBatchSize?: number | undefined;
}

const MOST_DEFAULT_WORKERS = 4;

/**
 * Default number of threads that prepare batches. For features in memory or on the device it is 0, because only copying is
 * needed. Otherwise it is one less than the number of cores, from 1 to 4.
 */
export function defaultWorkers({ features }: Pick<NamedData, 'features'>, cores = availableParallelism()): number {
  const inMemory = (shared: SharedObjects): boolean =>
    shared.form === 'merged' ? shared.parts.every(inMemory) : shared.form !== 'tsv';
  return inMemory(features.shared) ? 0 : Math.min(Math.max(cores - 1, 1), MOST_DEFAULT_WORKERS);
}

/** Training and validation data, as batches for the trainer. */
export interface PretrainSource {
  readonly batchesPerEpoch: number;
  /** Global batches from `from` on, without end. */
  train(from: BatchPosition): AsyncIterable<PositionedBatch>;
  /** The validation samples. Their masks and swaps are drawn from a fixed seed, so they are always the same. */
  validate(): AsyncIterable<Batch>;
  /** The labelled questions of the validation samples, not swapped and not masked, with their scores for answers. */
  validateAnswers(): AsyncIterable<QuestionBatch>;
  /**
   * Allows a later batch to use the memory of this batch's features, which must not be read afterwards. The garbage
   * collector frees a batch that is never released.
   */
  release(batch: Batch): void;
}

/** Throws BAD_DATA if training and validation features have different widths. */
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
  // there are no validation data
}

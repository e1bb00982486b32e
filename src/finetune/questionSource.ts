import type { Batch } from '../data/batches/batch.js';
import { batchesPerEpoch, trainBatches, validBatches, type BatchShare } from '../data/batches/batching.js';
import type { NamedData } from '../data/batches/batchMaker.js';
import { FeatureMemory } from '../data/batches/featureMemory.js';
import type { PretrainTasks } from '../data/batches/masking.js';
import { defaultWorkers } from '../data/batches/pretrainSource.js';
import { demandSameWidth } from '../data/features/mergedFeatures.js';
import { taskNames } from '../config/tasks.js';
import { recordOf } from '../records.js';
import type { TrainSource } from '../train/index.js';
import type { AnswerLoss } from './objective.js';

export interface QuestionSourceOptions {
  readonly train: NamedData;
  /** If absent, validation is empty. */
  readonly valid?: NamedData | undefined;
  readonly loss: AnswerLoss;
  readonly seed: number;
  /** Questions of one global batch. */
  readonly batchSize: number;
  /** The share of every global batch that this process computes; default: all of it. */
  readonly share?: BatchShare | undefined;
  /** The largest number of questions in one part of a batch; by default a batch has one part. */
  readonly partSize?: number | undefined;
  /**
   * Number of global batches in a group, for batches with sentences of similar lengths. By default there are no groups.
   */
  readonly bucketBatches?: number | undefined;
  /** Threads that prepare batches; default: `defaultWorkers`. */
  readonly workers?: number | undefined;
}

/** Training and validation questions, as batches for the trainer. */
export interface QuestionSource extends TrainSource {
  /** The validation questions, in their order. */
  validate(): AsyncIterable<Batch>;
}

/** No pre-training task is on, so nothing is masked or swapped. */
const noTasks: PretrainTasks = recordOf(taskNames, () => false);

/** @throws BAD_DATA if training and validation features have different widths */
export function questionSource({ train, valid, loss, ...batching }: QuestionSourceOptions): QuestionSource {
  if (valid) demandSameWidth(train.features, valid.features);
  const workersOf = (data: NamedData): number => batching.workers ?? defaultWorkers(data);
  const workers = { train: workersOf(train), valid: valid ? workersOf(valid) : 0 };
  const memory = new FeatureMemory({ shared: workers.train > 0 || workers.valid > 0 });
  const purpose = purposeOf(loss);
  const batchSize = batching.partSize ?? batching.batchSize;
  return {
    batchesPerEpoch: batchesPerEpoch(train.size, batching.batchSize),
    train: (from) =>
      trainBatches(train, { ...batching, from, purpose, memory, workers: workers.train, tasksOn: () => noTasks }),
    validate: () =>
      valid
        ? validBatches(valid, {
            ...{ batchSize, purpose, memory, workers: workers.valid, tasks: noTasks, unmasked: true },
            share: batching.share,
          })
        : nothing(),
    release: (batch) => memory.release(batch),
  };
}

export interface QuestionBatchOptions {
  readonly batchSize: number;
  readonly loss?: AnswerLoss | undefined;
  readonly workers?: number | undefined;
  /** This process makes one of every `ranks` batches. Default: it makes all batches. */
  readonly share?: Pick<BatchShare, 'rank' | 'ranks'> | undefined;
}

/** Gives all questions of some data once, in their order. `release` returns the memory of a batch for reuse. */
export function questionBatches(
  data: NamedData,
  { batchSize, loss = 'soft', workers, share }: QuestionBatchOptions,
): { readonly batches: AsyncGenerator<Batch>; readonly release: (batch: Batch) => void } {
  const threads = workers ?? defaultWorkers(data);
  const memory = new FeatureMemory({ shared: threads > 0 });
  const purpose = purposeOf(loss);
  return {
    batches: validBatches(data, {
      ...{ batchSize, purpose, memory, workers: threads, tasks: noTasks, unmasked: true },
      share,
    }),
    release: (batch) => memory.release(batch),
  };
}

/** In the original's cross-entropy over answers, a question without an answer has the target 0. */
const purposeOf = (loss: AnswerLoss) => ({ none: loss === 'hard' ? 0 : -1 }) as const;

async function* nothing(): AsyncGenerator<Batch> {
  // there are no validation data
}

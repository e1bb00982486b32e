import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { ahead, allSettled } from '../concurrency.js';
import { epochOrder } from '../random.js';
import type { AssembleJob, BatchPurpose } from './batchJob.js';
import { openBatchMaker } from './batchMaker.js';
import type { BatchMaker, NamedData } from './batchMaker.js';
import type { Batch } from './batch.js';
import type { FeatureMemory } from './featureMemory.js';
import { allTasks, maskingRates } from './masking.js';
import type { MaskingRates, PretrainTasks } from './masking.js';
import { bucketOrder } from './lengthBuckets.js';
import { isQuestion, questionsOf } from './questions.js';
import type { QuestionBatch } from './questions.js';

/** A position in the order of the batches: the global batch that is made next. */
export interface BatchPosition {
  /** Pass over the samples, from 0. */
  readonly epoch: number;
  /** Global batch within the epoch, from 0. */
  readonly batch: number;
}

/** One global batch, as parts that the device computes one after the other. */
export interface PositionedBatch {
  readonly position: BatchPosition;
  /** The parts of this process; empty if this process has no sample of the batch. */
  readonly parts: readonly Batch[];
  /** For each part, the gradient part of the global batch to which it belongs (`BatchShare.parts`). */
  readonly partOf?: readonly number[] | undefined;
}

/** The share of every global batch that a process computes. */
export interface BatchShare {
  readonly rank: number;
  readonly ranks: number;
  /** Number of parts into which a global batch is divided, by the position of samples; default: one for each rank. */
  readonly parts?: number | undefined;
}

/** Options of both training and validation batches. */
export interface PreparationOptions {
  /** Default: pre-training. */
  readonly purpose?: BatchPurpose | undefined;
  /** Default: the rates of the paper. */
  readonly rates?: Partial<MaskingRates> | undefined;
  /** Memory for the features; default: new memory for each batch. */
  readonly memory?: FeatureMemory | undefined;
  /** Threads that prepare batches. With 0, the default, the calling thread prepares one batch in advance. */
  readonly workers?: number | undefined;
  /** The program of the threads; default: that of the package. A program that bundles the package sets it. */
  readonly workerScript?: URL | undefined;
}

export interface TrainBatchOptions extends PreparationOptions {
  readonly seed: number;
  /** Samples of one global batch, over all ranks and parts. */
  readonly batchSize: number;
  /** The largest number of samples in one part (gradient accumulation); by default a batch has one part. */
  readonly partSize?: number | undefined;
  /**
   * Number of global batches in a group, for batches with sentences of similar lengths (`bucketOrder`). By default
   * there are no groups, and the order is random.
   */
  readonly bucketBatches?: number | undefined;
  /** Default: this process computes the whole batch, in one part. */
  readonly share?: BatchShare | undefined;
  /** Default: the first batch of epoch 0. */
  readonly from?: BatchPosition;
  /** The tasks that are on in an epoch; default: all tasks in every epoch. */
  readonly tasksOn?: ((epoch: number) => PretrainTasks) | undefined;
}

export interface ValidBatchOptions extends PreparationOptions {
  readonly batchSize: number;
  /** This process makes one of every `ranks` batches; default: it makes all. */
  readonly share?: Pick<BatchShare, 'rank' | 'ranks'> | undefined;
  /** Seed of masks and swaps; default: a fixed seed, so that validations can be compared. */
  readonly seed?: number;
  /** Default: all tasks. */
  readonly tasks?: PretrainTasks | undefined;
  /** If true, nothing is masked or swapped, and the label is the answer with the highest score; default false. */
  readonly unmasked?: boolean;
  /** If true, only labelled questions, with their scores for answers; default false. */
  readonly answered?: boolean;
}

/** Seed of the masks for validation. It is larger than every seed of a training run. */
const VALID_SEED = 2 ** 40;
const MOST_WORKERS = 256;

/**
 * Number of complete batches in an epoch. The remaining samples are left out. If there are fewer samples than a batch has,
 * they are one batch (unlike with PyTorch's drop_last).
 */
export function batchesPerEpoch(samples: number, batchSize: number): number {
  return Math.max(1, Math.floor(samples / batchSize));
}

/**
 * Gives training batches from a position on, without end. Every epoch has a different order. A batch depends only on
 * seed and position, not on earlier batches. Batches are prepared in advance: one batch, or one more than there are
 * workers. When the generator is closed, the workers end. Throws BAD_ARGUMENT.
 */
export function trainBatches(data: NamedData, options: TrainBatchOptions): AsyncGenerator<PositionedBatch> {
  const {
    seed,
    batchSize,
    partSize = batchSize,
    share = { rank: 0, ranks: 1 },
    from = { epoch: 0, batch: 0 },
    tasksOn = () => allTasks,
    bucketBatches,
  } = options;
  if (bucketBatches !== undefined) checkCount('bucketBatches', bucketBatches, 2);
  checkCount('batchSize', batchSize, 1);
  checkCount('partSize', partSize, 1);
  checkCount('from.epoch', from.epoch, 0);
  checkCount('share.ranks', share.ranks, 1);
  checkRange('from.batch', from.batch, batchesPerEpoch(data.size, batchSize));
  checkRange('share.rank', share.rank, share.ranks);

  const isShown = shownBy(data);
  /** If all samples of a batch are left out, the batch gets the next sample of the order that is not left out. */
  const nextShown = (order: Uint32Array, from: number): Uint32Array => {
    const at = [...order.keys()].find((i) => isShown(order[(from + i) % order.length])) ?? 0;
    return Uint32Array.of(order[(from + at) % order.length]);
  };
  const gradientParts = share.parts ?? share.ranks;
  checkCount('share.parts', gradientParts, share.ranks);
  interface Plan {
    readonly position: BatchPosition;
    readonly jobs: readonly AssembleJob[];
    readonly partOf: readonly number[] | undefined;
  }
  function* plan(): Generator<Plan> {
    const batches = batchesPerEpoch(data.size, batchSize);
    const size = Math.min(batchSize, data.size);
    const startOf = (part: number): number => Math.floor((size * part) / gradientParts);
    const [first, end] = [share.rank, share.rank + 1].map((rank) => Math.floor((gradientParts * rank) / share.ranks));
    for (let { epoch, batch } = from; ; epoch++, batch = 0) {
      const random = epochOrder(seed, epoch, data.size);
      const order =
        bucketBatches === undefined
          ? random
          : bucketOrder(random, data, { seed, epoch, batchSize, batches: bucketBatches });
      const tasks = tasksOn(epoch);
      for (; batch < batches; batch++) {
        const jobs: AssembleJob[] = [];
        const partOf: number[] = [];
        for (let part = first; part < end; part++) {
          for (let start = startOf(part); start < startOf(part + 1); start += partSize) {
            const stop = Math.min(start + partSize, startOf(part + 1));
            // `slice` copies, because a message with a view of the order would send the whole array.
            const samples = order.slice(batch * batchSize + start, batch * batchSize + stop).filter(isShown);
            if (samples.length === 0) continue;
            jobs.push({ samples, epoch, firstSample: start, tasks });
            partOf.push(part);
          }
        }
        if (jobs.length === 0 && first === 0) {
          const shown = order.subarray(batch * batchSize, batch * batchSize + size).some(isShown);
          if (!shown) {
            jobs.push({ samples: nextShown(order, batch * batchSize), epoch, firstSample: 0, tasks });
            partOf.push(0);
          }
        }
        yield { position: { epoch, batch }, jobs, partOf: options.share && partOf };
      }
    }
  }
  const parts = Math.ceil(gradientParts / share.ranks) * Math.max(1, Math.ceil(batchSize / gradientParts / partSize));
  return whileOpen(data, { ...options, seed }, (maker) =>
    ahead(
      plan(),
      async ({ position, jobs, partOf }) => ({
        position,
        partOf,
        parts: await allSettled(jobs.map((job) => maker.make(job))),
      }),
      Math.ceil(maker.ahead / parts),
    ),
  );
}

/** Gives all samples once, in order, prepared in advance. The last batch may be smaller. Throws BAD_ARGUMENT. */
export function validBatches(data: NamedData, options: ValidBatchOptions): AsyncGenerator<QuestionBatch> {
  const { batchSize, seed = VALID_SEED, tasks = allTasks, unmasked = false, answered = false } = options;
  const { rank, ranks } = options.share ?? { rank: 0, ranks: 1 };
  checkCount('batchSize', batchSize, 1);

  function* plan(): Generator<AssembleJob> {
    let samples: number[] = [];
    let batches = 0;
    const isOurs = () => batches++ % ranks === rank;
    const job = () => ({ samples: Uint32Array.from(samples), epoch: 0, firstSample: 0, tasks, unmasked });
    const isShown = shownBy(data);
    for (let sample = 0; sample < data.size; sample++) {
      if (!isShown(sample)) continue;
      if (answered && !isQuestion(data, sample)) continue;
      samples.push(sample);
      if (samples.length < batchSize) continue;
      if (isOurs()) yield job();
      samples = [];
    }
    if (samples.length > 0 && isOurs()) yield job();
  }
  return whileOpen(data, { ...options, seed }, (maker) => ahead(plan(), assembleQuestions(maker), maker.ahead));

  function assembleQuestions(maker: BatchMaker) {
    return async (job: AssembleJob): Promise<QuestionBatch> => {
      const batch = await maker.make(job);
      return answered ? { ...batch, questions: questionsOf(data, job.samples) } : batch;
    };
  }
}

/** Returns a function that says whether batches may contain a sample: its image is not left out. */
function shownBy({ images, skippedImages }: NamedData): (sample: number) => boolean {
  return skippedImages === undefined ? () => true : (sample) => skippedImages[images[sample]] === 0;
}

/** Gives the batches of a batch maker, and closes it at the end. Throws BAD_ARGUMENT. */
function whileOpen<T>(
  data: NamedData,
  { seed, rates, purpose, workers = 0, memory, workerScript }: PreparationOptions & { readonly seed: number },
  batches: (maker: BatchMaker) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  checkCount('seed', seed, 0);
  checkRange('workers', workers, MOST_WORKERS + 1);
  const options = { seed, rates: maskingRates(rates), purpose, workers, memory, workerScript };
  async function* run() {
    const maker = openBatchMaker(data, options);
    try {
      yield* batches(maker);
    } finally {
      await maker.close();
    }
  }
  return run();
}

function checkCount(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new LxmertError('BAD_ARGUMENT', `${name} must be an integer from ${least}, found ${describeValue(value)}`);
  }
}

function checkRange(name: string, value: number, end: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value >= end) {
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${name} must be an integer from 0 to ${end - 1}, found ${describeValue(value)}`,
    );
  }
}

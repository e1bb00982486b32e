import { LxmertError } from '../../errors.js';
import { memoryOf, openThreads } from '../threads.js';
import { assembleBatch } from './assembleBatch.js';
import { imagesOf } from './batchJob.js';
import type { AssembleJob, AssemblyData, BatchPurpose, UnnamedBatch } from './batchJob.js';
import type { Batch } from './batch.js';
import type { BatchRequest, BatchStart, SharedData } from './batchWorker.js';
import type { FeatureMemory } from './featureMemory.js';
import type { MaskingRates } from './masking.js';

/** Makes batches, in the calling thread or in worker threads. */
export interface BatchMaker {
  /** Number of batches that the caller should request ahead, so that workers stay busy. */
  readonly ahead: number;
  make(job: AssembleJob): Promise<Batch>;
  /** Ends the worker threads. The promises of batches that are not begun at that time reject. */
  close(): Promise<void>;
}

export interface BatchMakerOptions {
  readonly seed: number;
  readonly rates: MaskingRates;
  /** Default: pre-training. */
  readonly purpose?: BatchPurpose | undefined;
  readonly memory?: FeatureMemory | undefined;
  /** Number of threads that make batches. With 0 the calling thread makes them. */
  readonly workers: number;
  /** The program of the threads; default: `batchWorker.js` beside this module. A program that bundles the package sets it. */
  readonly workerScript?: URL | undefined;
}

/** The data from which batches are made, with a name for each sample. */
export interface NamedData extends AssemblyData {
  sampleId(sample: number): string;
  /** The data set of a labelled question; undefined for any other sample. Leave it out if questions have no data set. */
  questionSetOf?(sample: number): string | undefined;
}

export function openBatchMaker(data: NamedData, options: BatchMakerOptions): BatchMaker {
  const unnamed = options.workers > 0 ? inThreads(data, options) : inThisThread(data, options);
  return {
    ahead: unnamed.ahead,
    close: () => unnamed.close(),
    make: async (job) => ({
      ...(await unnamed.make(job)),
      sampleIds: Array.from(job.samples).flatMap((sample) =>
        new Array<string>(data.pictures ?? 1).fill(data.sampleId(sample)),
      ),
    }),
  };
}

type UnnamedMaker = Omit<BatchMaker, 'make'> & { make(job: AssembleJob): Promise<UnnamedBatch> };

/** Makes one batch after the other. Several batches at once would need more memory and would not save time. */
function inThisThread(data: NamedData, { seed, rates, purpose, memory }: BatchMakerOptions): UnnamedMaker {
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  return {
    ahead: 1,
    make: (job) => {
      const work = () => {
        if (closed) throw new LxmertError('DISPOSED', 'the batches have ended');
        return assembleBatch(data, job, { seed, rates, purpose, memory });
      };
      const batch = last.then(work, work);
      last = batch.catch(() => undefined);
      return batch;
    },
    close: async () => {
      closed = true;
      await last;
    },
  };
}

/**
 * Makes batches in worker threads. The threads read shared arrays, and each opens the feature files itself. A finished
 * batch moves to the main thread without a copy.
 */
function inThreads(
  data: NamedData,
  {
    seed,
    rates,
    purpose,
    memory,
    workers,
    workerScript = new URL('./batchWorker.js', import.meta.url),
  }: BatchMakerOptions,
): UnnamedMaker {
  const start: BatchStart = { data: shareData(data), seed, rates, purpose };
  const what = 'prepares batches';
  const threads = openThreads<BatchRequest, UnnamedBatch>({ what, script: workerScript, start, count: workers });
  return {
    ahead: workers + 1,
    make: async (job) => {
      const blocks = memory === undefined ? [] : takeBlocks(memory, data, job, rates);
      return threads.run({ job, blocks }, memoryOf(blocks));
    },
    close: () => threads.close(),
  };
}

/** The part of the data that worker threads need. */
export function shareData({ features, wordPiece, ...data }: AssemblyData): SharedData {
  const { name, size, pictures, images, tokens, tokenOffsets, answerIds, answerScores, answerOffsets, skippedImages } =
    data;
  const { vocabSize, maskId } = wordPiece;
  return {
    ...{ name, size, pictures, images, tokens, tokenOffsets, answerIds, answerScores, answerOffsets, skippedImages },
    wordPiece: { vocabSize, maskId },
    features: features.shared,
  };
}

/** The number of regression targets varies. Memory is reserved for their mean number times this factor. */
const targetMargin = 1.25;

/** Memory for features and regression targets. */
function takeBlocks(
  memory: FeatureMemory,
  data: AssemblyData,
  { samples, unmasked, tasks }: AssembleJob,
  rates: MaskingRates,
): Float32Array[] {
  const { features } = data;
  if ('firstRow' in features) return [];
  const objects = samples.reduce(
    (sum, sample) => imagesOf(data, sample).reduce((total, image) => total + features.numObjects(image), sum),
    0,
  );
  const targets = unmasked === true || !tasks.objects ? 0 : Math.ceil(objects * rates.objects * targetMargin);
  return [objects, targets].filter((n) => n > 0).map((n) => memory.take(n * features.featureDim));
}

import { LxmertError } from '../errors.js';
import { assembleBatch } from './assembleBatch.js';
import type { Batch } from './batch.js';
import { describeValue } from './describe.js';
import type { FeatureMemory } from './featureMemory.js';
import { resolveMasking } from './masking.js';
import type { MaskingOptions } from './masking.js';
import type { PretrainData } from './pretrainData.js';
import { epochOrder } from './random.js';

/** Where the sampler stands: the global batch that comes next. */
export interface BatchPosition {
  /** Pass over the samples, from 0. */
  readonly epoch: number;
  /** Global batch within the epoch, from 0. */
  readonly batch: number;
}

/** One global batch, as the parts that the device takes one after the other. */
export interface PositionedBatch {
  readonly position: BatchPosition;
  readonly parts: readonly Batch[];
}

export interface TrainBatchOptions {
  readonly seed: number;
  /** Samples of one global batch, over all ranks and parts. */
  readonly batchSize: number;
  /** Most samples of one part (gradient accumulation); default: all in one. */
  readonly partSize?: number;
  /** Which share of every global batch this process takes; default: all of it. */
  readonly share?: { readonly rank: number; readonly ranks: number };
  /** Default: the start. */
  readonly from?: BatchPosition;
  readonly masking?: MaskingOptions;
  /** Where the features are put; default: every batch has memory of its own. */
  readonly memory?: FeatureMemory;
}

export interface ValidBatchOptions {
  readonly batchSize: number;
  /** Masks and swaps are drawn from it; default: a fixed one, so that any two validations compare. */
  readonly seed?: number;
  readonly masking?: MaskingOptions;
  /** Neither mask nor swap, and the label is the answer with the highest score; default false. */
  readonly unmasked?: boolean;
  /** Only samples with an answer; default false. */
  readonly answered?: boolean;
  /** Where the features are put; default: every batch has memory of its own. */
  readonly memory?: FeatureMemory;
}

/** Seed of validation masks, apart from every training seed by its size. */
const VALID_SEED = 2 ** 40;

/** Whole batches of an epoch; the rest of the samples is left out, unless it is all there is (as drop_last does not). */
export function batchesPerEpoch(samples: number, batchSize: number): number {
  return Math.max(1, Math.floor(samples / batchSize));
}

/**
 * Training batches from a position on, without end: every epoch in an order of its own. The same seed and position
 * give the same batch, whatever was asked for before; one batch is assembled ahead. Throws BAD_ARGUMENT.
 */
export function trainBatches(data: PretrainData, options: TrainBatchOptions): AsyncGenerator<PositionedBatch> {
  const {
    seed,
    batchSize,
    partSize = batchSize,
    share = { rank: 0, ranks: 1 },
    from = { epoch: 0, batch: 0 },
  } = options;
  checkCount('batchSize', batchSize, 1);
  checkCount('partSize', partSize, 1);
  checkCount('seed', seed, 0);
  checkCount('from.epoch', from.epoch, 0);
  checkCount('share.ranks', share.ranks, 1);
  checkRange('from.batch', from.batch, batchesPerEpoch(data.size, batchSize));
  checkRange('share.rank', share.rank, share.ranks);
  const fixed = { seed, masking: resolveMasking(options.masking), ...(options.memory && { memory: options.memory }) };

  async function* assemble(): AsyncGenerator<PositionedBatch> {
    const batches = batchesPerEpoch(data.size, batchSize);
    const size = Math.min(batchSize, data.size);
    const first = Math.floor((size * share.rank) / share.ranks);
    const end = Math.floor((size * (share.rank + 1)) / share.ranks);
    for (let { epoch, batch } = from; ; epoch++, batch = 0) {
      const order = epochOrder(seed, epoch, data.size);
      for (; batch < batches; batch++) {
        const parts: Batch[] = [];
        for (let start = first; start < end; start += partSize) {
          const stop = Math.min(start + partSize, end);
          const samples = order.subarray(batch * batchSize + start, batch * batchSize + stop);
          parts.push(await assembleBatch(data, samples, { ...fixed, epoch, firstSample: start }));
        }
        yield { position: { epoch, batch }, parts };
      }
    }
  }
  return oneAhead(assemble());
}

/** All samples in their own order, once; the last batch may be smaller. Throws BAD_ARGUMENT. */
export function validBatches(data: PretrainData, options: ValidBatchOptions): AsyncGenerator<Batch> {
  const { batchSize, seed = VALID_SEED, unmasked = false, answered = false } = options;
  checkCount('batchSize', batchSize, 1);
  checkCount('seed', seed, 0);
  const fixed = { seed, masking: resolveMasking(options.masking), ...(options.memory && { memory: options.memory }) };

  async function* assemble(): AsyncGenerator<Batch> {
    let samples: number[] = [];
    for (let sample = 0; sample < data.size; sample++) {
      if (!answered || data.answerOffsets[sample + 1] > data.answerOffsets[sample]) samples.push(sample);
      if (samples.length === batchSize || (sample === data.size - 1 && samples.length > 0)) {
        yield await assembleBatch(data, samples, { ...fixed, epoch: 0, firstSample: 0, unmasked });
        samples = [];
      }
    }
  }
  return oneAhead(assemble());
}

/** Asks for the next value before handing over the one at hand, so that it is made meanwhile. */
async function* oneAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = source.next();
  try {
    for (;;) {
      const current = await next;
      if (current.done === true) return;
      next = source.next();
      // Its rejection is seen at the next turn; until then it must not count as unhandled.
      next.catch(() => undefined);
      yield current.value;
    }
  } finally {
    await next.catch(() => undefined);
    await source.return(undefined);
  }
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

import type { Batch } from './batch.js';
import type { MaskingOptions } from './masking.js';
import type { PretrainData } from './pretrainData.js';

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
}

export interface ValidBatchOptions {
  readonly batchSize: number;
  /** Masks and swaps are drawn from it; default: a fixed one, so that two validations compare. */
  readonly seed?: number;
  readonly masking?: MaskingOptions;
  /** Neither mask nor swap, and the label is the answer with the highest score; default false. */
  readonly unmasked?: boolean;
  /** Only samples with an answer; default false. */
  readonly answered?: boolean;
}

export declare function batchesPerEpoch(data: PretrainData, batchSize: number): number;
export declare function trainBatches(data: PretrainData, options: TrainBatchOptions): AsyncGenerator<PositionedBatch>;
export declare function validBatches(data: PretrainData, options: ValidBatchOptions): AsyncGenerator<Batch>;

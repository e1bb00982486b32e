import type { FeatureReader, ResidentReader } from '../features/featureSource.js';
import type { RandomStream } from '../random.js';
import type { SampleArrays } from '../samples/sampleStore.js';
import type { Batch } from './batch.js';
import type { FeatureMemory } from './featureMemory.js';
import type { MaskingRates, PretrainTasks } from './masking.js';

/** The part of the data from which batches are made. Worker threads have it, too (`shareData`). */
export interface AssemblyData extends SampleArrays {
  /** The splits, for messages. */
  readonly name: string;
  readonly features: FeatureReader | ResidentReader;
  readonly wordPiece: { readonly vocabSize: number; readonly maskId: number };
  /** For each image by position, 1 if it cannot be read, so that no batch may contain it; absent if there is none. */
  readonly skippedImages?: Uint8Array | undefined;
}

/** A batch without the names of its samples, which only the requesting thread has. */
export type UnnamedBatch = Omit<Batch, 'sampleIds'>;

/** The samples of one batch, and the tasks that are on, which determine the masks. */
export interface AssembleJob {
  readonly samples: Uint32Array;
  readonly epoch: number;
  /** Position of the first sample within the global batch. */
  readonly firstSample: number;
  /**
   * Tasks that are on in this epoch. If masked LM is off, no word is masked. If matching is off, no sentence is
   * swapped.
   */
  readonly tasks: PretrainTasks;
  /** If true, nothing is masked or swapped, and the label is the answer with the highest score. */
  readonly unmasked?: boolean | undefined;
}

/** The purpose of batches: pre-training, or questions. `none` is the label of a question without an answer. */
export type BatchPurpose = 'pretrain' | { readonly none: 0 | -1 };

/** The images of a sample, as positions in the feature source. */
export const imagesOf = (
  { images, pictures = 1 }: Pick<AssemblyData, 'images' | 'pictures'>,
  sample: number,
): Int32Array => images.subarray(sample * pictures, (sample + 1) * pictures);

/** Options for all batches of some data. */
export interface AssembleOptions {
  readonly seed: number;
  readonly rates: MaskingRates;
  /** Default: pre-training. */
  readonly purpose?: BatchPurpose | undefined;
  /** Memory for the features; default: new memory for each batch. */
  readonly memory?: Pick<FeatureMemory, 'take'> | undefined;
}

/** The values with which one batch is made: the job, its options, and the random numbers. */
export interface Assembly {
  readonly data: AssemblyData;
  readonly job: AssembleJob;
  readonly options: AssembleOptions;
  readonly random: RandomStream;
}

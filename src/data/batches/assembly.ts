import type { Batch } from './batch.js';
import type { FeatureMemory } from './featureMemory.js';
import type { FeatureReader, ResidentReader } from '../features/featureSource.js';
import type { Masking } from './masking.js';
import type { SampleArrays } from '../samples/sampleStore.js';

/** What of the data assembling needs; another thread has it too (`shareData`). */
export interface AssemblyData extends SampleArrays {
  /** The splits, for messages. */
  readonly name: string;
  readonly features: FeatureReader | ResidentReader;
  readonly wordPiece: { readonly vocabSize: number; readonly maskId: number };
}

/** A batch but for its samples' names, which the thread that asked for it knows. */
export type UnnamedBatch = Omit<Batch, 'sampleIds'>;

export interface AssembleOptions {
  readonly seed: number;
  readonly epoch: number;
  /** Position of the first sample within the global batch. */
  readonly firstSample: number;
  readonly masking: Masking;
  /** Neither mask nor swap, and the label is the answer with the highest score. */
  readonly unmasked?: boolean;
  /** Where the features are put; default: memory of their own. */
  readonly memory?: Pick<FeatureMemory, 'take'>;
}

/** What to make a batch of. */
export interface AssembleJob extends Pick<AssembleOptions, 'epoch' | 'firstSample' | 'unmasked'> {
  readonly samples: Uint32Array;
}

/** The program of a thread that prepares batches (see `openBatchMaker`), and the types of its messages. */
import type { SharedObjects } from '../features/featureSource.js';
import { openShared } from '../features/mergedFeatures.js';
import { memoryOf, threadProgram } from '../threads.js';
import { assembleBatch } from './assembleBatch.js';
import type { AssembleJob, AssemblyData, BatchPurpose, UnnamedBatch } from './batchJob.js';
import { arraysOf } from './batch.js';
import { FeatureMemory } from './featureMemory.js';
import type { MaskingRates } from './masking.js';

/** The data in a message to a thread. Large arrays are in shared memory. */
export type SharedData = Omit<AssemblyData, 'features'> & { readonly features: SharedObjects };

/** The value that each thread gets when it starts. */
export interface BatchStart {
  readonly data: SharedData;
  readonly seed: number;
  readonly rates: MaskingRates;
  readonly purpose?: BatchPurpose | undefined;
}

/** One batch to make. */
export interface BatchRequest {
  readonly job: AssembleJob;
  /** Memory for the features. */
  readonly blocks: readonly Float32Array[];
}

export default threadProgram<{ start: BatchStart; request: BatchRequest; result: UnnamedBatch }>(
  async ({ data: { features, ...data }, seed, rates, purpose }) => {
    const opened = { ...data, features: await openShared(features) };
    return async ({ job, blocks }) => {
      const memory = new FeatureMemory({ blocks });
      const batch = await assembleBatch(opened, job, { seed, rates, purpose, memory });
      return { content: batch, memory: memoryOf(arraysOf(batch)) };
    };
  },
);

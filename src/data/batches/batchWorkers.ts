import type { AssembleJob, AssemblyData, UnnamedBatch } from './assembly.js';
import { shareData } from './batchMessages.js';
import type { BatchRequest, BatchStart } from './batchMessages.js';
import type { FeatureMemory } from './featureMemory.js';
import { memoryOf } from '../workerMessages.js';
import { WorkerThreads } from '../workerThreads.js';

export interface BatchWorkersOptions {
  /** Most threads. */
  readonly count: number;
  readonly settings: BatchStart['settings'];
  readonly memory?: FeatureMemory;
  /** The threads' program; default: `batchWorker.js` beside this module. For programs that bundle the package. */
  readonly script?: URL;
}

/** Regression targets vary in number; this much more than their mean is set aside. */
const TARGET_MARGIN = 1.25;

/** Threads that make batches. They read shared arrays and files of their own; a finished batch changes hands uncopied. */
export function batchWorkers(
  data: AssemblyData,
  { count, settings, memory, script = new URL('./batchWorker.js', import.meta.url) }: BatchWorkersOptions,
): WorkerThreads<AssembleJob, UnnamedBatch> {
  return new WorkerThreads({
    what: 'prepares batches',
    ...{ count, script },
    start: { data: shareData(data), settings } satisfies BatchStart,
    pack: (job) => {
      const blocks = memory === undefined ? [] : takeBlocks(memory, data, job, settings);
      return { content: { job, blocks } satisfies BatchRequest, memory: memoryOf(blocks) };
    },
  });
}

/** Memory for features and regression targets. */
function takeBlocks(
  memory: FeatureMemory,
  { images, features }: AssemblyData,
  { samples, unmasked }: AssembleJob,
  { masking: { tasks, rates } }: BatchStart['settings'],
): Float32Array[] {
  if ('firstRow' in features) return [];
  const objects = samples.reduce((sum, sample) => sum + features.numObjects(images[sample]), 0);
  const targets = unmasked === true || !tasks.objects ? 0 : Math.ceil(objects * rates.objects * TARGET_MARGIN);
  return [objects, targets].filter((n) => n > 0).map((n) => memory.take(n * features.featureDim));
}

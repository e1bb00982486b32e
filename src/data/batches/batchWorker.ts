/** The program of a thread that prepares batches (see `batchWorkers`). */
import { assembleBatch } from './assembleBatch.js';
import type { UnnamedBatch } from './assembly.js';
import { arraysOf } from './batchMessages.js';
import type { BatchRequest, BatchStart } from './batchMessages.js';
import { FeatureMemory } from './featureMemory.js';
import { openShared } from '../features/openFeatures.js';
import { memoryOf } from '../workerMessages.js';
import { serveWork } from '../workerProgram.js';

serveWork<{ start: BatchStart; request: BatchRequest; result: UnnamedBatch }>(
  async ({ data: { features, ...data }, settings }) => {
    const opened = { ...data, features: await openShared(features) };
    return async ({ job: { samples, ...job }, blocks }) => {
      const memory = new FeatureMemory({ blocks });
      const batch = await assembleBatch(opened, samples, { ...settings, ...job, memory });
      return { content: batch, memory: memoryOf(arraysOf(batch)) };
    };
  },
);

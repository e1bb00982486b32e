/** The program of a thread that prepares batches (see `BatchWorkers`). It ends when that ends it. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { assembleBatch } from './assembleBatch.js';
import type { AssemblyData } from './assembly.js';
import { arraysOf, handOver, sendError } from './batchMessages.js';
import type { SharedData, WorkerReply, WorkerRequest, WorkerStart } from './batchMessages.js';
import { FeatureMemory } from './featureMemory.js';
import { openShared } from './openFeatures.js';

if (parentPort !== null) serve(parentPort, workerData as WorkerStart);

function serve(port: MessagePort, { data, settings }: WorkerStart): void {
  const opened = openData(data);
  // Every request tells of it.
  opened.catch(() => undefined);
  const work = async ({ job, blocks }: WorkerRequest): Promise<void> => {
    const { samples, ...rest } = job;
    const batch = await assembleBatch(await opened, samples, {
      ...settings,
      ...rest,
      memory: new FeatureMemory({ blocks }),
    });
    port.postMessage({ batch } satisfies WorkerReply, handOver(arraysOf(batch)));
  };
  port.on('message', (request: WorkerRequest) => {
    work(request).catch((error: unknown) => port.postMessage({ error: sendError(error) } satisfies WorkerReply));
  });
}

async function openData({ features, ...data }: SharedData): Promise<AssemblyData> {
  return { ...data, features: await openShared(features) };
}

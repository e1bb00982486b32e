import { LxmertError } from '../../errors.js';
import { assembleBatch } from './assembleBatch.js';
import type { AssembleJob, AssemblyData } from './assembly.js';
import type { Batch } from './batch.js';
import { batchWorkers } from './batchWorkers.js';
import type { FeatureMemory } from './featureMemory.js';
import type { Masking } from './masking.js';

/** Makes batches, here or in other threads. */
export interface Assembler {
  /** How many batches to ask for ahead, so that none who works on them waits for the one who takes them. */
  readonly ahead: number;
  assemble(job: AssembleJob): Promise<Batch>;
  /** Ends its threads; what is not done by then never comes. */
  close(): Promise<void>;
}

export interface AssemblerOptions {
  readonly seed: number;
  readonly masking: Masking;
  readonly memory?: FeatureMemory;
  /** Threads that make batches; 0: this one does. */
  readonly workers: number;
  readonly workerScript?: URL;
}

/** Data whose samples have names. */
export interface NamedData extends AssemblyData {
  sampleId(sample: number): string;
}

export function openAssembler(data: NamedData, options: AssemblerOptions): Assembler {
  const { seed, masking, memory, workers, workerScript } = options;
  const withNames = ({ samples }: AssembleJob, batch: Omit<Batch, 'sampleIds'>): Batch => ({
    ...batch,
    sampleIds: Array.from(samples, (sample) => data.sampleId(sample)),
  });
  if (workers > 0) {
    const threads = batchWorkers(data, {
      count: workers,
      settings: { seed, masking },
      ...(memory && { memory }),
      ...(workerScript && { script: workerScript }),
    });
    return {
      ahead: workers + 1,
      assemble: async (job) => withNames(job, await threads.run(job)),
      close: () => threads.close(),
    };
  }
  const fixed = { seed, masking, ...(memory && { memory }) };
  // One after the other: more at once would not be quicker, only larger.
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  return {
    ahead: 1,
    assemble: (job) => {
      const { samples, ...rest } = job;
      const work = async () => {
        if (closed) throw new LxmertError('DISPOSED', 'the batches have ended');
        return withNames(job, await assembleBatch(data, samples, { ...fixed, ...rest }));
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

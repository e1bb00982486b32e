import { Worker } from 'node:worker_threads';
import { LxmertError } from '../errors.js';
import type { AssembleJob, AssemblyData, UnnamedBatch } from './assembly.js';
import { handOver, receiveError, shareData } from './batchMessages.js';
import type { WorkerReply, WorkerRequest, WorkerStart } from './batchMessages.js';
import type { FeatureMemory } from './featureMemory.js';

export interface BatchWorkersOptions {
  /** Most threads; one is started when there is work for it. */
  readonly count: number;
  readonly settings: WorkerStart['settings'];
  readonly memory?: FeatureMemory;
  /** The threads' program; default: `batchWorker.js` beside this module. For programs that bundle the package. */
  readonly script?: URL;
}

interface Task {
  readonly job: AssembleJob;
  readonly resolve: (batch: UnnamedBatch) => void;
  readonly reject: (error: LxmertError) => void;
}

/** Regression targets vary in number; this much more than their mean is set aside. */
const TARGET_MARGIN = 1.25;

/**
 * Threads that make batches. They read shared arrays and files of their own; a finished batch changes hands without
 * being copied. They never keep the process alive but while a batch is being made. A thread that dies fails the batch
 * it was at and all that come after.
 */
export class BatchWorkers {
  readonly #options: BatchWorkersOptions;
  readonly #data: AssemblyData;
  readonly #start: WorkerStart;
  readonly #threads: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #waiting: Task[] = [];
  readonly #busy = new Map<Worker, Task>();
  /** Why there is no more to come. */
  #broken: LxmertError | undefined;

  constructor(data: AssemblyData, options: BatchWorkersOptions) {
    this.#data = data;
    this.#options = options;
    this.#start = { data: shareData(data), settings: options.settings };
  }

  /** Rejects with what assembling the batch rejects with, or INTERNAL when its thread died. */
  assemble(job: AssembleJob): Promise<UnnamedBatch> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken);
        return;
      }
      this.#waiting.push({ job, resolve, reject });
      this.#next();
    });
  }

  /** Ends the threads, also in the middle of a batch. Idempotent. */
  async close(): Promise<void> {
    this.#break(new LxmertError('DISPOSED', 'the threads that prepare batches were ended'));
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  /** Gives the task that waits longest to an idle thread. */
  #next(): void {
    if (this.#waiting.length === 0) return;
    const thread = this.#idle.pop() ?? (this.#threads.length < this.#options.count ? this.#startThread() : undefined);
    if (thread === undefined) return;
    const task = this.#waiting.shift()!;
    this.#busy.set(thread, task);
    // The process lives on while somebody waits for a batch.
    thread.ref();
    const blocks = this.#takeBlocks(task.job);
    const request: WorkerRequest = { job: task.job, blocks };
    thread.postMessage(request, handOver(blocks));
  }

  #startThread(): Worker {
    const script = this.#options.script ?? new URL('./batchWorker.js', import.meta.url);
    // Not the process's own flags: some (such as --input-type) do not suit a thread.
    const thread = new Worker(script, { workerData: this.#start, name: 'lxmert batches', execArgv: [] });
    this.#threads.push(thread);
    thread.unref();
    const died = (how: string, cause?: unknown) =>
      this.#break(new LxmertError('INTERNAL', `a thread that prepares batches ${how}`, { cause }));
    thread.on('message', (reply: WorkerReply) => this.#receive(thread, reply));
    thread.on('messageerror', (error) => died(`sent what cannot be read: ${error.message}`, error));
    thread.on('error', (error) => died(`died: ${error.message}`, error));
    thread.on('exit', (code) => died(`ended before its time (exit code ${code})`));
    return thread;
  }

  #receive(thread: Worker, reply: WorkerReply): void {
    const task = this.#busy.get(thread);
    if (task === undefined) return;
    this.#busy.delete(thread);
    thread.unref();
    this.#idle.push(thread);
    if ('batch' in reply) task.resolve(reply.batch);
    else task.reject(receiveError(reply.error));
    this.#next();
  }

  #break(error: LxmertError): void {
    if (this.#broken !== undefined) return;
    this.#broken = error;
    for (const { reject } of [...this.#busy.values(), ...this.#waiting]) reject(error);
    this.#waiting.length = 0;
    this.#busy.clear();
    for (const thread of this.#threads) thread.unref();
  }

  /** Memory for features and regression targets. */
  #takeBlocks({ samples, unmasked }: AssembleJob): Float32Array[] {
    const { memory, settings } = this.#options;
    const { images, features } = this.#data;
    if (memory === undefined || 'firstRow' in features) return [];
    const objects = samples.reduce((sum, sample) => sum + features.numObjects(images[sample]), 0);
    const { tasks, rates } = settings.masking;
    const targets = unmasked === true || !tasks.objects ? 0 : Math.ceil(objects * rates.objects * TARGET_MARGIN);
    return [objects, targets].filter((n) => n > 0).map((n) => memory.take(n * features.featureDim));
  }
}

import { Worker } from 'node:worker_threads';
import { LxmertError } from '../errors.js';
import { receiveError } from './workerMessages.js';
import type { Parcel, WorkerReply } from './workerMessages.js';

export interface WorkerThreadsOptions<Job> {
  /** What a thread does, for messages: `prepares batches`. */
  readonly what: string;
  /** The threads' program: it calls `serveWork`. */
  readonly script: URL;
  /** What each of them begins with. */
  readonly start: unknown;
  /** Most threads; one is started when there is work for it. */
  readonly count: number;
  /** What a thread is sent for a job; asked for when one is free. */
  readonly pack: (job: Job) => Parcel<unknown>;
}

interface Task<Job, Result> {
  readonly job: Job;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: LxmertError) => void;
}

/**
 * Threads that do pieces of work, each one at a time. They never keep the process alive but while they are at one. A
 * thread that dies fails the piece it was at and all that come after.
 */
export class WorkerThreads<Job, Result> {
  readonly #options: WorkerThreadsOptions<Job>;
  readonly #threads: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #waiting: Task<Job, Result>[] = [];
  readonly #busy = new Map<Worker, Task<Job, Result>>();
  /** Why there is no more to come. */
  #broken: LxmertError | undefined;

  constructor(options: WorkerThreadsOptions<Job>) {
    this.#options = options;
  }

  /** Rejects with what the work rejects with, or INTERNAL when its thread died. */
  run(job: Job): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken);
        return;
      }
      this.#waiting.push({ job, resolve, reject });
      this.#next();
    });
  }

  /** Ends the threads, also in the middle of a piece. Idempotent. */
  async close(): Promise<void> {
    this.#break(new LxmertError('DISPOSED', `there is no thread any more that ${this.#options.what}`));
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  /** Gives the task that waits longest to an idle thread. */
  #next(): void {
    if (this.#waiting.length === 0) return;
    const thread = this.#idle.pop() ?? (this.#threads.length < this.#options.count ? this.#startThread() : undefined);
    if (thread === undefined) return;
    const task = this.#waiting.shift()!;
    this.#busy.set(thread, task);
    // The process lives on while somebody waits for the result.
    thread.ref();
    const { content, memory = [] } = this.#options.pack(task.job);
    thread.postMessage(content, memory);
  }

  #startThread(): Worker {
    const { script, start, what } = this.#options;
    // Not the process's own flags: some (such as --input-type) do not suit a thread.
    const thread = new Worker(script, { workerData: start, name: `lxmert ${what}`, execArgv: [] });
    this.#threads.push(thread);
    thread.unref();
    const died = (how: string, cause?: unknown) =>
      this.#break(new LxmertError('INTERNAL', `a thread that ${what} ${how}`, { cause }));
    thread.on('message', (reply: WorkerReply<Result>) => this.#receive(thread, reply));
    thread.on('messageerror', (error) => died(`sent what cannot be read: ${error.message}`, error));
    thread.on('error', (error) => died(`died: ${error.message}`, error));
    thread.on('exit', (code) => died(`ended before its time (exit code ${code})`));
    return thread;
  }

  #receive(thread: Worker, reply: WorkerReply<Result>): void {
    const task = this.#busy.get(thread);
    if (task === undefined) return;
    this.#busy.delete(thread);
    thread.unref();
    this.#idle.push(thread);
    if ('result' in reply) task.resolve(reply.result);
    else task.reject(receiveError(reply.error, this.#options.what));
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
}

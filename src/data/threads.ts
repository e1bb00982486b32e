import { types } from 'node:util';
import { Piscina, move, transferableSymbol, valueSymbol, workerData } from 'piscina';
import { LxmertError, isLxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';

export interface ThreadsOptions {
  /** What a thread does, for messages: `prepares batches`. */
  readonly what: string;
  /** The program of the threads: its default export is made by `threadProgram`. */
  readonly script: URL;
  /** Given to each thread when it starts. */
  readonly start: unknown;
  /** Most threads; one is started when there is work for it. */
  readonly count: number;
}

/** Threads that each do one piece of work at a time. Idle threads do not keep the process alive. */
export interface Threads<Request, Result> {
  /** `memory` changes hands instead of being copied. Rejects as the work does, or with INTERNAL when the thread died. */
  run(request: Request, memory?: readonly ArrayBuffer[]): Promise<Result>;
  /** Ends the threads, each after its piece of work; pieces not begun reject with DISPOSED. Idempotent. */
  close(): Promise<void>;
}

/** What a thread answers: errors travel as values, since a message between threads loses their class and code. */
type Reply<Result> = { readonly result: Result } | { readonly error: SentError };

interface SentError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

/** Longest wait for the pieces at hand when threads are closed, in milliseconds: a disk that does not answer. */
const closeTimeout = 600_000;

export function openThreads<Request, Result>(options: ThreadsOptions): Threads<Request, Result> {
  const { what, script, start, count } = options;
  const pool = new Piscina<Request, Reply<Result>>({
    filename: script.href,
    workerData: start,
    minThreads: 0,
    maxThreads: count,
    idleTimeout: Infinity,
    closeTimeout,
    recordTiming: false,
    // Flags of the process are not passed on: some (such as --input-type) do not suit a thread.
    execArgv: [],
  });
  // A thread that dies fails its piece of work, which is told there.
  pool.on('error', () => undefined);
  let closed: Promise<void> | undefined;
  const gone = () => new LxmertError('DISPOSED', `the thread that ${what} has ended`);
  return {
    run: async (request, memory = []) => {
      if (closed) throw gone();
      const reply = await pool.run(request, { transferList: [...memory] }).catch((error: unknown) => {
        if (closed) throw gone();
        throw new LxmertError('INTERNAL', `a thread that ${what} died: ${(error as Error).message}`, { cause: error });
      });
      if ('result' in reply) return reply.result;
      throw receiveError(reply.error, what);
    },
    close: () => (closed ??= pool.close({ force: true })),
  };
}

/** A result, and the memory that goes with it instead of being copied. */
export interface Parcel<Result> {
  readonly content: Result;
  readonly memory?: readonly ArrayBuffer[];
}

/**
 * The default export of a thread's program: `begin` prepares the work from what each thread is given at its start. An
 * error of either is the answer to every piece of work that it concerns.
 */
export function threadProgram<Program extends { start: unknown; request: unknown; result: unknown }>(
  begin: (start: Program['start']) => Promise<(request: Program['request']) => Promise<Parcel<Program['result']>>>,
): (request: Program['request']) => Promise<unknown> {
  const begun = begin(workerData as Program['start']);
  // Every request reports it.
  begun.catch(() => undefined);
  return async (request) => {
    try {
      const work = await begun;
      const { content, memory = [] } = await work(request);
      const reply: Reply<Program['result']> = { result: content };
      return move({ [transferableSymbol]: memory, [valueSymbol]: reply });
    } catch (error) {
      return { error: sendError(error) } satisfies Reply<Program['result']>;
    }
  };
}

function sendError(error: unknown): SentError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: isLxmertError(error) ? error.code : undefined, message, stack };
}

/** `what` the thread does, for errors without a code of ours. */
function receiveError({ code, message, stack }: SentError, what: string): LxmertError {
  const cause = Object.assign(new Error(message), { stack });
  return code === undefined
    ? new LxmertError('INTERNAL', `a thread that ${what} failed: ${message}`, { cause })
    : new LxmertError(code, message, { cause });
}

/** The memory of some arrays, each buffer once. Shared memory is left out: threads have it anyway. */
export function memoryOf(arrays: readonly NodeJS.TypedArray[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => types.isArrayBuffer(buffer));
}

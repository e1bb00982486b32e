import { types } from 'node:util';
import { Piscina, move, transferableSymbol, valueSymbol, workerData } from 'piscina';
import { LxmertError, isLxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';

export interface ThreadsOptions {
  /** The work of a thread, for messages, such as `prepares batches`. */
  readonly what: string;
  /** The program of the threads. Its default export must be made by `threadProgram`. */
  readonly script: URL;
  /** The value that each thread gets when it starts. */
  readonly start: unknown;
  /** Largest number of threads. A thread is started only when there is work for it. */
  readonly count: number;
}

/** Threads that each do one piece of work at a time. Idle threads do not keep the process alive. */
export interface Threads<Request, Result> {
  /**
   * Runs a piece of work in a thread. `memory` is transferred to the thread instead of being copied. Rejects with the
   * error of the work, or with INTERNAL if the thread has ended; another thread then does the later pieces.
   */
  run(request: Request, memory?: readonly ArrayBuffer[]): Promise<Result>;
  /** Ends each thread after its current piece of work. All other pieces reject with DISPOSED. May be called more than once. */
  close(): Promise<void>;
}

/** The reply of a thread. An error is sent as a plain value, because a message between threads loses its class and code. */
type Reply<Result> = { readonly result: Result } | { readonly error: SentError };

interface SentError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

interface Piece<Request, Result> {
  readonly request: Request;
  readonly memory: readonly ArrayBuffer[];
  readonly resolve: (result: Result) => void;
  readonly reject: (error: LxmertError) => void;
}

export function openThreads<Request, Result>(options: ThreadsOptions): Threads<Request, Result> {
  const { what, script, start, count } = options;
  // The program is given with each piece of work and not to the pool, because the pool would not report a program that
  // cannot be loaded.
  const pool = new Piscina<Request, Reply<Result>>({
    workerData: start,
    minThreads: 0,
    maxThreads: count,
    idleTimeout: Infinity,
    recordTiming: false,
    // Flags of the process are not passed to threads: some (such as --input-type) are not allowed there.
    execArgv: [],
  });
  // Pieces wait in this list and not in the pool. If a thread has ended, the pool starts no other thread for waiting
  // pieces, and its `close` would end threads in the middle of their work.
  const waiting: Piece<Request, Result>[] = [];
  const atWork = new Map<Piece<Request, Result>, Promise<void>>();
  /** The reason why no more work is done; undefined while the threads can be used. */
  let ended: LxmertError | undefined;
  let closed: Promise<void> | undefined;

  const died = (error: unknown) =>
    new LxmertError('INTERNAL', `a thread that ${what} died: ${(error as Error).message}`, { cause: error });

  async function work({ request, memory, resolve, reject }: Piece<Request, Result>): Promise<void> {
    try {
      const reply = await pool.run(request, { filename: script.href, transferList: [...memory] });
      if ('result' in reply) resolve(reply.result);
      else reject(receiveError(reply.error, what));
    } catch (error) {
      reject(died(error));
    }
  }

  function next(): void {
    while (atWork.size < count) {
      const piece = waiting.shift();
      if (piece === undefined) return;
      const done = () => {
        atWork.delete(piece);
        next();
      };
      atWork.set(piece, work(piece).then(done));
    }
  }

  // A thread has ended before it got work, for example because it could not start. Without this handler, its pieces
  // would wait forever.
  pool.on('error', (error) => {
    ended ??= died(error);
    for (const { reject } of [...waiting.splice(0), ...atWork.keys()]) reject(ended);
    void pool.destroy();
  });

  async function end(): Promise<void> {
    const gone = (ended ??= new LxmertError('DISPOSED', `the threads have ended: none ${what} any more`));
    for (const { reject } of waiting.splice(0)) reject(gone);
    await Promise.all(atWork.values());
    await pool.destroy();
  }

  return {
    run: (request, memory = []) =>
      new Promise((resolve, reject) => {
        if (ended) {
          reject(ended);
          return;
        }
        waiting.push({ request, memory, resolve, reject });
        next();
      }),
    close: () => (closed ??= end()),
  };
}

/** A result, and its memory, which is transferred instead of being copied. */
export interface Parcel<Result> {
  readonly content: Result;
  readonly memory?: readonly ArrayBuffer[];
}

/**
 * Makes the default export of a thread's program. `begin` gets the value `start` and returns the function that does the
 * work. If `begin` throws an error, this error is the reply to every piece of work. If the function throws an error, it
 * is the reply to that piece.
 */
export function threadProgram<Program extends { start: unknown; request: unknown; result: unknown }>(
  begin: (start: Program['start']) => Promise<(request: Program['request']) => Promise<Parcel<Program['result']>>>,
): (request: Program['request']) => Promise<unknown> {
  const begun = begin(workerData as Program['start']);
  // Every request reports the error of `begin`.
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

/**
 * Makes the error again from the values in the message. `what` is the work of the thread; it is used in the message of
 * an error without an lxmert code.
 */
function receiveError({ code, message, stack }: SentError, what: string): LxmertError {
  const cause = Object.assign(new Error(message), { stack });
  return code === undefined
    ? new LxmertError('INTERNAL', `a thread that ${what} failed: ${message}`, { cause })
    : new LxmertError(code, message, { cause });
}

/** The buffers of some arrays, each once. Shared memory is left out, because threads can use it without a transfer. */
export function memoryOf(arrays: readonly NodeJS.TypedArray[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => types.isArrayBuffer(buffer));
}

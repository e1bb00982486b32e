import { types } from 'node:util';
import { LxmertError, isLxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';

/** A piece of work on its way to or from a thread, and the memory that goes with it instead of being copied. */
export interface Parcel<T> {
  readonly content: T;
  readonly memory?: readonly ArrayBuffer[];
}

/** What a thread answers. */
export type WorkerReply<Result> = { readonly result: Result } | { readonly error: SentError };

/** An error on its way between threads, which would lose its class and code. */
export interface SentError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

export function sendError(error: unknown): SentError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: isLxmertError(error) ? error.code : undefined, message, stack };
}

/** `what` the thread does, for errors that nobody foresaw. */
export function receiveError({ code, message, stack }: SentError, what: string): LxmertError {
  const cause = Object.assign(new Error(message), { stack });
  return code === undefined
    ? new LxmertError('INTERNAL', `a thread that ${what} failed: ${message}`, { cause })
    : new LxmertError(code, message, { cause });
}

/** The memory of some arrays, each buffer once, but for what threads share anyway. */
export function memoryOf(arrays: readonly NodeJS.TypedArray[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => types.isArrayBuffer(buffer));
}

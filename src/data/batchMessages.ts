import { types } from 'node:util';
import type { AssembleJob, AssemblyData, UnnamedBatch } from './assembly.js';
import type { SharedObjects } from './featureSource.js';
import type { Masking } from './masking.js';
import { LxmertError, isLxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';

/** The data as a message carries it: what is large lies in shared memory. */
export type SharedData = Omit<AssemblyData, 'features'> & { readonly features: SharedObjects };

/** What a worker thread begins with. */
export interface WorkerStart {
  readonly data: SharedData;
  readonly settings: { readonly seed: number; readonly masking: Masking };
}

/** To the worker: one batch to make; it is sent no other before it has answered. */
export interface WorkerRequest {
  readonly job: AssembleJob;
  /** Memory to put the features into. */
  readonly blocks: readonly Float32Array[];
}

/** From the worker. */
export type WorkerReply = { readonly batch: UnnamedBatch } | { readonly error: SentError };

/** An error on its way between threads, which would lose its class and code. */
export interface SentError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

/** The part of the data that worker threads need. */
export function shareData({ features, wordPiece, ...data }: AssemblyData): SharedData {
  const { name, size, images, tokens, tokenOffsets, answerIds, answerScores, answerOffsets } = data;
  const { vocabSize, maskId } = wordPiece;
  return {
    ...{ name, size, images, tokens, tokenOffsets, answerIds, answerScores, answerOffsets },
    wordPiece: { vocabSize, maskId },
    features: features.shared,
  };
}

export function sendError(error: unknown): SentError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: isLxmertError(error) ? error.code : undefined, message, stack };
}

export function receiveError({ code, message, stack }: SentError): LxmertError {
  const cause = Object.assign(new Error(message), { stack });
  return code === undefined
    ? new LxmertError('INTERNAL', `a thread that prepares batches failed: ${message}`, { cause })
    : new LxmertError(code, message, { cause });
}

/** The arrays of a batch. */
export function arraysOf(batch: UnnamedBatch): (Int32Array | Float32Array)[] {
  const { maskedTokens, objects, attributes, maskedObjects, resident } = batch;
  return [
    ...[batch.tokenIds, batch.tokenOffsets, batch.objectOffsets, batch.visualFeats, batch.visualPos],
    ...[maskedTokens.rows, maskedTokens.labels, objects.labels, objects.confs, attributes.labels, attributes.confs],
    ...[maskedObjects.rows, maskedObjects.targets, batch.matched, batch.answers],
    ...(resident ? [resident.rows, resident.targets] : []),
  ];
}

/** What a message with these arrays hands over: their memory, each buffer once, but for what is shared anyway. */
export function handOver(arrays: readonly (Int32Array | Float32Array)[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => types.isArrayBuffer(buffer));
}

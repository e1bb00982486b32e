import type { AssembleJob, AssemblyData, UnnamedBatch } from './assembly.js';
import type { SharedObjects } from '../features/featureSource.js';
import type { Masking } from './masking.js';

/** The data as a message carries it: what is large lies in shared memory. */
export type SharedData = Omit<AssemblyData, 'features'> & { readonly features: SharedObjects };

/** What a thread that prepares batches begins with. */
export interface BatchStart {
  readonly data: SharedData;
  readonly settings: { readonly seed: number; readonly masking: Masking };
}

/** To the thread: one batch to make. */
export interface BatchRequest {
  readonly job: AssembleJob;
  /** Memory to put the features into. */
  readonly blocks: readonly Float32Array[];
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

import { LxmertError } from '../errors.js';
import type { Tensor } from './tensor.js';

/**
 * The numbers of a step. Kernels read them from device memory, so no launch depends on them.
 * native/engine/step_record.h has the same layout.
 */
export interface StepRecord {
  /** Keys of the dropout, unsigned 32-bit. */
  readonly step: number;
  readonly seed: number;
  readonly learningRate: number;
  readonly samples: number;
  readonly languageRows: number;
  readonly visionRows: number;
  readonly maskedTokens: number;
  readonly maskedObjects: number;
  /** d total / d (sum of one loss), by slot: the weight of the loss divided by its count in the global batch. */
  readonly lossScale: readonly number[];
}

export const lossSlots = 8;
export const stepRecordWords = 8 + lossSlots;

/** Writes the record as device words at `offset` (in bytes) of a buffer. */
export function writeStepRecord(record: StepRecord, buffer: ArrayBufferLike, offset: number): void {
  if (record.lossScale.length > lossSlots)
    throw new LxmertError('INTERNAL', `a step record has room for ${lossSlots} losses, not ${record.lossScale.length}`);
  const words = new Uint32Array(buffer, offset, stepRecordWords);
  const floats = new Float32Array(buffer, offset, stepRecordWords);
  words.fill(0);
  words[0] = record.step;
  words[1] = record.seed;
  floats[2] = record.learningRate;
  words[3] = record.samples;
  words[4] = record.languageRows;
  words[5] = record.visionRows;
  words[6] = record.maskedTokens;
  words[7] = record.maskedObjects;
  floats.set(record.lossScale, 8);
}

/** Which count of the step record gives the number of active rows; in the native order. */
export const rowSets = ['all', 'samples', 'language', 'vision', 'stacked', 'maskedTokens', 'maskedObjects'] as const;
export type RowSet = (typeof rowSets)[number];

/** The rows of an op: a capacity, on which the launch depends, and a count, which the device reads. */
export interface Rows {
  readonly set: RowSet;
  readonly capacity: number;
  /** For `stacked`: the first vision row. Language rows begin at row 0. */
  readonly split: number;
  /** The step record; null only for `all`. */
  readonly record: Tensor | null;
}

/** All rows of a capacity, in every step. */
export function allRows(capacity: number): Rows {
  return { set: 'all', capacity, split: 0, record: null };
}

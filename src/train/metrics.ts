import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { isLxmertError } from '../errors.js';
import { writeFully } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { isRecord } from '../records.js';
import type { MeanLosses } from '../step/losses.js';
import type { Validation } from './trainable.js';

/** One optimizer step, as a line of `metrics.jsonl`. */
export interface StepRecord<L extends string = string> {
  /** Optimizer steps done, from 1. */
  readonly step: number;
  /** Pass over the training samples, from 0. */
  readonly epoch: number;
  readonly lr: number;
  /** Σ weight × loss. */
  readonly loss: number;
  readonly losses: MeanLosses<L>;
  /** Norm of the gradient before clipping. */
  readonly gradNorm: number;
  /**
   * Samples of this step, divided by the time since the previous step. A resumed run repeats all other figures exactly.
   */
  readonly samplesPerSecond: number;
}

/** One validation, as a line of `metrics.jsonl`. */
export interface ValidRecord<L extends string = string> extends Validation<L> {
  readonly step: number;
  readonly epoch: number;
  readonly split: 'valid';
}

export type MetricsRecord<L extends string = string> = StepRecord<L> | ValidRecord<L>;

/** `metrics.jsonl` of a run: one JSON object a line, written without buffering. */
export class MetricsFile {
  readonly path: string;
  readonly #file: FileHandle;
  #end: number;

  private constructor(path: string, file: FileHandle, end: number) {
    this.path = path;
    this.#file = file;
    this.#end = end;
  }

  /**
   * Opens the file, and cuts it back to the lines of the first `steps` steps.
   * @param validationDue whether the validation after these steps must still be done. If the file already has a line of
   *   this validation, a process wrote it and ended before it could save; the line is removed
   * @returns the file, and the last step that its lines record
   */
  static async open(
    path: string,
    steps: number,
    validationDue = false,
  ): Promise<{ metrics: MetricsFile; stepsFound: number }> {
    let file: FileHandle | undefined;
    try {
      file = await openOrCreate(path);
      const { end, stepsFound } = await endOfLines(file, steps, validationDue);
      await file.truncate(end);
      return { metrics: new MetricsFile(path, file, end), stepsFound };
    } catch (error) {
      await file?.close();
      throw fileError(error, 'write', path);
    }
  }

  async append(record: MetricsRecord): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
    try {
      await writeFully(this.#file, line, this.#end);
    } catch (error) {
      throw fileError(error, 'write', this.path);
    }
    this.#end += line.byteLength;
  }

  /** Writes all lines to the disk, so that they are not lost if the power fails. */
  async sync(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (error) {
      throw fileError(error, 'write', this.path);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return open(path, 'wx+');
  }
}

/**
 * Finds the end of the lines to keep. It reads until it finds a line that is incomplete, is not JSON, or belongs to a
 * later step or to a validation that must still be done. The memory that it needs does not depend on the size of the
 * file.
 */
async function endOfLines(
  file: FileHandle,
  steps: number,
  validationDue: boolean,
): Promise<{ end: number; stepsFound: number }> {
  const chunk = Buffer.allocUnsafe(1 << 16);
  let rest = Buffer.alloc(0);
  let end = 0;
  let stepsFound = 0;
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, end + rest.length);
    if (bytesRead === 0) return { end, stepsFound };
    let text = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let newline = text.indexOf(10); newline >= 0; newline = text.indexOf(10)) {
      const line = parseLine(text.subarray(0, newline).toString('utf8'));
      if (line === undefined || line.step > steps) return { end, stepsFound };
      if (validationDue && line.step === steps && line.isValidation) return { end, stepsFound };
      stepsFound = Math.max(stepsFound, line.step);
      end += newline + 1;
      text = text.subarray(newline + 1);
    }
    rest = Buffer.from(text);
  }
}

/** The step of a line and its kind; undefined for a line that is incomplete or is no record. */
function parseLine(line: string): { step: number; isValidation: boolean } | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (!isRecord(value) || typeof value.step !== 'number') return undefined;
    return { step: value.step, isValidation: 'split' in value };
  } catch {
    return undefined;
  }
}

/**
 * The records of a `metrics.jsonl`, in order; an incomplete last line is left out. @throws FILE_MISSING, FILE_ACCESS
 */
export async function* readMetrics(path: string): AsyncGenerator<MetricsRecord> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    for await (const line of file.readLines()) {
      if (parseLine(line) !== undefined) yield JSON.parse(line) as MetricsRecord;
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  } finally {
    await file?.close();
  }
}

/** The last validation of a run; undefined if there was no validation, or if there is no such file. */
export async function lastValidation(path: string): Promise<ValidRecord | undefined> {
  let last: ValidRecord | undefined;
  try {
    for await (const record of readMetrics(path)) if ('split' in record) last = record;
  } catch (error) {
    if (!isLxmertError(error) || error.code !== 'FILE_MISSING') throw error;
  }
  return last;
}

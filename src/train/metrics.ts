import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { isLxmertError } from '../errors.js';
import { writeFully } from '../formats/atomicFile.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
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
  /** Since the step before; the only figure that a resumed run does not repeat. */
  readonly samplesPerSecond: number;
}

/** One validation, as a line of `metrics.jsonl`. */
export interface ValidRecord<L extends string = string> extends Validation<L> {
  readonly step: number;
  readonly epoch: number;
  readonly split: 'valid';
}

export type MetricsRecord<L extends string = string> = StepRecord<L> | ValidRecord<L>;

/** `metrics.jsonl` of a run: one JSON object a line, each written through as it happens. */
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
   * Opens the file, and cuts it back to what a run had written when it had done `steps` steps.
   * @returns the file, and how many steps its lines tell of
   */
  static async open(path: string, steps: number): Promise<{ metrics: MetricsFile; stepsFound: number }> {
    let file: FileHandle | undefined;
    try {
      file = await openOrCreate(path);
      const { end, stepsFound } = await endOfSteps(file, steps);
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

  /** Makes the lines so far survive a power cut. */
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
 * Finds the end of the lines of the first `steps` steps: it reads until a line that is torn, not JSON, or of a later
 * step. Memory does not grow with the file.
 */
async function endOfSteps(file: FileHandle, steps: number): Promise<{ end: number; stepsFound: number }> {
  const chunk = Buffer.allocUnsafe(1 << 16);
  let rest = Buffer.alloc(0);
  let end = 0;
  let stepsFound = 0;
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, end + rest.length);
    if (bytesRead === 0) return { end, stepsFound };
    let text = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let newline = text.indexOf(10); newline >= 0; newline = text.indexOf(10)) {
      const step = stepOf(text.subarray(0, newline));
      if (step === undefined || step > steps) return { end, stepsFound };
      stepsFound = Math.max(stepsFound, step);
      end += newline + 1;
      text = text.subarray(newline + 1);
    }
    rest = Buffer.from(text);
  }
}

function stepOf(line: Buffer): number | undefined {
  try {
    const { step } = JSON.parse(line.toString('utf8')) as { step?: unknown };
    return typeof step === 'number' ? step : undefined;
  } catch {
    return undefined;
  }
}

/** The records of a `metrics.jsonl`, in order; a torn last line is left out. @throws FILE_MISSING, FILE_ACCESS */
export async function* readMetrics(path: string): AsyncGenerator<MetricsRecord> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    for await (const line of file.readLines()) {
      if (stepOf(Buffer.from(line)) !== undefined) yield JSON.parse(line) as MetricsRecord;
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  } finally {
    await file?.close();
  }
}

/** The last validation of a run; undefined when there was none, or there is no such file. */
export async function lastValidation(path: string): Promise<ValidRecord | undefined> {
  let last: ValidRecord | undefined;
  try {
    for await (const record of readMetrics(path)) if ('split' in record) last = record;
  } catch (error) {
    if (!isLxmertError(error) || error.code !== 'FILE_MISSING') throw error;
  }
  return last;
}

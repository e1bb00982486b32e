import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EventFile } from '../formats/tensorBoard.js';
import { entriesOf } from '../records.js';
import { MetricsFile } from './metrics.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import type { RunFolder } from './runFolder.js';

/** Writes what a run measures: `metrics.jsonl`, and the same as TensorBoard events. */
export class Recorder {
  readonly #metrics: MetricsFile;
  readonly #events: EventFile;

  private constructor(metrics: MetricsFile, events: EventFile) {
    this.#metrics = metrics;
    this.#events = events;
  }

  /**
   * Goes on after `step` steps: what was recorded of later ones is dropped.
   * @returns the recorder, and how many steps `metrics.jsonl` tells of
   */
  static async open(run: RunFolder, step: number): Promise<{ recorder: Recorder; stepsFound: number }> {
    if (step === 0) await removeEvents(run.path);
    const { metrics, stepsFound } = await MetricsFile.open(run.metrics, step);
    try {
      // TensorBoard drops events of the step given and later ones; that of the checkpoint is to stay.
      const events = await EventFile.create(run.path, { step: step + 1 });
      return { recorder: new Recorder(metrics, events), stepsFound };
    } catch (error) {
      await metrics.close();
      throw error;
    }
  }

  async step(record: StepRecord): Promise<void> {
    await this.#metrics.append(record);
    const { step, loss, losses, lr, gradNorm, samplesPerSecond } = record;
    // The lines of metrics.jsonl can be compared between runs; memory is the machine's affair.
    const scalars = { loss, lr, gradNorm, samplesPerSecond, processMemoryBytes: process.memoryUsage.rss() };
    await this.#events.scalars(step, { ...tagged('train/', scalars), ...tagged('train/loss/', losses) });
  }

  async validation(record: ValidRecord): Promise<void> {
    await this.#metrics.append(record);
    const { step, loss, losses, accuracy, score } = record;
    const scalars = {
      'valid/loss': loss,
      ...(score === undefined ? {} : { 'valid/score': score }),
      ...tagged('valid/loss/', losses),
      ...tagged('valid/accuracy/', accuracy),
    };
    await this.#events.scalars(step, scalars);
  }

  /** Makes the metrics so far survive a power cut. */
  async sync(): Promise<void> {
    await this.#metrics.sync();
  }

  async close(): Promise<void> {
    await this.#metrics.close();
    await this.#events.close();
  }
}

/** Takes away the events of a run that starts over. */
async function removeEvents(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith('events.out.tfevents.')) await rm(join(folder, name), { force: true });
}

function tagged(prefix: string, values: Readonly<Partial<Record<string, number>>>): Record<string, number> {
  return Object.fromEntries(entriesOf(values).map(([name, value]) => [`${prefix}${name}`, value]));
}

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EventFile } from '../formats/tensorBoard.js';
import { entriesOf } from '../records.js';
import type { CommunicationCost } from './communication.js';
import { MetricsFile } from './metrics.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import type { RunFolder } from './runFolder.js';
import type { TrainerState } from './trainerState.js';

/** The part of a run's state that says which records belong to it. */
type RecorderStart = Pick<TrainerState, 'step' | 'validationDue'>;

/** Writes what a run measures to `metrics.jsonl`, and the same figures as TensorBoard events. */
export class Recorder {
  readonly #metrics: MetricsFile;
  readonly #events: EventFile;

  private constructor(metrics: MetricsFile, events: EventFile) {
    this.#metrics = metrics;
    this.#events = events;
  }

  /**
   * Continues from a state, and drops what was recorded after it.
   * @returns the recorder, and the last step that `metrics.jsonl` records
   */
  static async open(run: RunFolder, from: RecorderStart): Promise<{ recorder: Recorder; stepsFound: number }> {
    if (from.step === 0) await removeEvents(run.path);
    const { metrics, stepsFound } = await MetricsFile.open(run.metrics, from.step, from.validationDue);
    try {
      // TensorBoard drops the events of this step and of later ones. The events of the checkpoint's step stay.
      const events = await EventFile.create(run.path, { step: from.step + 1 });
      return { recorder: new Recorder(metrics, events), stepsFound };
    } catch (error) {
      await metrics.close();
      throw error;
    }
  }

  /** @param communication what the ranks' communication of this step cost; absent for a process alone */
  async step(record: StepRecord, communication?: CommunicationCost): Promise<void> {
    await this.#metrics.append(record);
    const { step, loss, losses, lr, gradNorm, samplesPerSecond } = record;
    // Memory and communication depend on the machine, so they are not in metrics.jsonl, whose lines should not.
    const scalars = { loss, lr, gradNorm, samplesPerSecond, processMemoryBytes: process.memoryUsage.rss() };
    await this.#events.scalars(step, {
      ...tagged('train/', scalars),
      ...tagged('train/loss/', losses),
      ...tagged('train/communication/', { ...communication }),
    });
  }

  async validation(record: ValidRecord): Promise<void> {
    await this.#metrics.append(record);
    const { step, loss, losses, accuracy, accuracyBySet = {}, score } = record;
    const scalars = {
      'valid/loss': loss,
      ...tagged('valid/', { score }),
      ...tagged('valid/loss/', losses),
      ...tagged('valid/accuracy/', accuracy),
    };
    for (const [name, sets] of entriesOf(accuracyBySet))
      Object.assign(scalars, tagged(`valid/accuracy/${name}/`, sets));
    await this.#events.scalars(step, scalars);
  }

  /** Writes the metrics through to the disk, so that they survive a power cut. */
  async sync(): Promise<void> {
    await this.#metrics.sync();
  }

  async close(): Promise<void> {
    await this.#metrics.close();
    await this.#events.close();
  }
}

/** Removes the event files of a run that starts again from step 0. */
async function removeEvents(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith('events.out.tfevents.')) await rm(join(folder, name), { force: true });
}

function tagged(prefix: string, values: Readonly<Partial<Record<string, number>>>): Record<string, number> {
  return Object.fromEntries(entriesOf(values).map(([name, value]) => [`${prefix}${name}`, value]));
}

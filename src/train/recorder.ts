import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EventFile } from '../formats/tensorBoard.js';
import { entriesOf } from '../records.js';
import type { CommunicationCost } from './communication.js';
import { MetricsFile } from './metrics.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import type { RunFolder } from './runFolder.js';
import type { TrainerState } from './trainerState.js';

/** The part of a run's state that determines which records belong to the run. */
type RecorderStart = Pick<TrainerState, 'step' | 'validationDue'>;

/** Writes the measured figures of a run to `metrics.jsonl` and to TensorBoard event files. */
export class Recorder {
  readonly #metrics: MetricsFile;
  readonly #events: EventFile;

  private constructor(metrics: MetricsFile, events: EventFile) {
    this.#metrics = metrics;
    this.#events = events;
  }

  /**
   * Continues from a state, and drops the records of later steps.
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

  /**
   * @param communication the time that the communication of the ranks took in this step; absent if there is only one
   * process
   */
  async step(record: StepRecord, communication?: CommunicationCost): Promise<void> {
    await this.#metrics.append(record);
    const { step, loss, losses, lr, gradNorm, samplesPerSecond } = record;
    // Memory and communication depend on the machine. The lines of metrics.jsonl should not depend on it, so they do
    // not contain these figures.
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

  /** Writes the metrics to the disk, so that they are not lost if the power fails. */
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

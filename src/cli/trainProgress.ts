import { duration, figure, percent, whole } from '../figures.js';
import { entriesOf } from '../records.js';

import type { RunStart, StepRecord, TrainObserver, ValidRecord } from '../train/index.js';

export { duration, figure, percent, whole };

export interface ProgressOptions {
  readonly stream: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  /** Milliseconds between two reports; default: 100 on a terminal, 5000 elsewhere. */
  readonly interval?: number | undefined;
  /** A clock in milliseconds that never goes back. */
  readonly now?: (() => number) | undefined;
}

/** Shows the progress of a run: on a terminal in one line that is rewritten, elsewhere in a new line every few seconds. */
export class TrainProgress {
  readonly observer: TrainObserver;
  readonly #stream: ProgressOptions['stream'];
  readonly #interval: number;
  readonly #now: () => number;
  #totalSteps = 0;
  /** Mean milliseconds of a step; newer steps have more weight. Time for validation and saving is not counted. */
  #stepTime: number | undefined;
  #clock = 0;
  #reported = -Infinity;
  #unreported: string | undefined;

  constructor({ stream, interval, now = () => performance.now() }: ProgressOptions) {
    this.#stream = stream;
    this.#interval = interval ?? (stream.isTTY ? 100 : 5000);
    this.#now = now;
    this.observer = {
      loading: (share) => this.#report(`features: ${percent(share)} on the device`),
      started: (start) => this.#started(start),
      stepDone: (record) => this.#stepDone(record),
      validating: (batches) => {
        this.#report(`validating: ${batches} batches`);
        this.#clock = this.#now();
      },
      validated: (record, best) => {
        this.line(describeValidation(record, best));
        this.#clock = this.#now();
      },
      saved: (path) => {
        this.line(`saved ${path}`);
        this.#clock = this.#now();
      },
      note: (text) => this.line(text),
    };
  }

  /** Whether the run has begun, which means that its data and its model are open. */
  get begun(): boolean {
    return this.#totalSteps > 0;
  }

  /** Prints a line that is not rewritten. */
  line(text: string): void {
    this.#unreported = undefined;
    this.#stream.write(`${this.#stream.isTTY ? '\r\x1b[K' : ''}${text}\n`);
  }

  /** Ends the reports: clears the rewritten line, or prints the last report if it is not printed yet. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
    else if (this.#unreported !== undefined) this.line(this.#unreported);
  }

  #started({ step, totalSteps, parameters, folder, batchesPerEpoch, resumedFrom }: RunStart): void {
    this.#totalSteps = totalSteps;
    this.#clock = this.#now();
    const from = resumedFrom === undefined ? '' : `; continues after step ${whole(step)} from ${resumedFrom}`;
    const size = parameters < 1e6 ? whole(parameters) : `${(parameters / 1e6).toFixed(1)} M`;
    this.line(`${folder}: ${whole(totalSteps)} steps, ${whole(batchesPerEpoch)} an epoch; ${size} parameters${from}`);
  }

  #stepDone(record: StepRecord): void {
    const now = this.#now();
    const time = now - this.#clock;
    this.#clock = now;
    this.#stepTime = this.#stepTime === undefined ? time : 0.95 * this.#stepTime + 0.05 * time;
    const losses = entriesOf(record.losses).map(([name, loss]) => `${name} ${figure(loss)}`);
    const left = ((this.#totalSteps - record.step) * this.#stepTime) / 1000;
    // The most important figures come first, because a narrow terminal cuts the rest off.
    this.#report(
      (this.#stream.isTTY ? `${bar(record.step / this.#totalSteps)} ` : '') +
        `step ${whole(record.step)}/${whole(this.#totalSteps)}  ${duration(left)} left  ` +
        `${figure(record.samplesPerSecond)} samples/s  loss ${figure(record.loss)} (${losses.join(', ')})`,
    );
  }

  #report(text: string): void {
    const now = this.#now();
    this.#unreported = text;
    if (now - this.#reported < this.#interval) return;
    this.#reported = now;
    if (!this.#stream.isTTY) return this.line(text);
    this.#unreported = undefined;
    this.#stream.write(`\r\x1b[K${text.slice(0, Math.max(20, (this.#stream.columns ?? 80) - 1))}`);
  }
}

const barWidth = 20;

function bar(share: number): string {
  const full = Math.round(barWidth * share);
  return '█'.repeat(full) + '░'.repeat(barWidth - full);
}

/** The losses and accuracies of a validation on one line. */
export function describeValidation({ step, loss, accuracy, accuracyBySet }: ValidRecord, best: boolean): string {
  const inSets = (name: string): string => {
    const sets = entriesOf(accuracyBySet?.[name] ?? {}).map(([set, share]) => `${set} ${percent(share)}`);
    return sets.length > 0 ? ` (${sets.join(', ')})` : '';
  };
  const shares = entriesOf(accuracy).map(([name, share]) => `${name} ${percent(share)}${inSets(name)}`);
  const right = shares.length > 0 ? `; right: ${shares.join(', ')}` : '';
  return `validation after step ${whole(step)}: loss ${figure(loss)}${right}${best ? ' (best so far)' : ''}`;
}

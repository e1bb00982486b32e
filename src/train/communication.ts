import { byteSize } from '../figures.js';
import type { Communicator } from '../step/gradientParts.js';

/** The time that the communication of this rank took. */
export interface CommunicationCost {
  /** Seconds in which gradients and parameters were sent, received and added. Most of them pass during the backward pass. */
  readonly seconds: number;
  /** The part of these seconds in which the step had no other work and waited. */
  readonly waitingSeconds: number;
  readonly sentBytes: number;
}

type CommunicationTimes = Communicator['times'];

const difference = (now: CommunicationTimes, before: CommunicationTimes): CommunicationCost => ({
  seconds: now.moving - before.moving,
  waitingSeconds: now.waiting - before.waiting,
  sentBytes: now.bytes - before.bytes,
});

/** Measures the communication from one step to the next. */
export class CommunicationMeter {
  readonly #communicator: Communicator;
  readonly #start: CommunicationTimes;
  #last: CommunicationTimes;

  constructor(communicator: Communicator) {
    this.#communicator = communicator;
    this.#start = this.#last = communicator.times;
  }

  /** The times since the last call. */
  next(): CommunicationCost {
    const now = this.#communicator.times;
    const cost = difference(now, this.#last);
    this.#last = now;
    return cost;
  }

  /** A text with the times since the start. */
  describe(): string {
    const { seconds, waitingSeconds, sentBytes } = difference(this.#communicator.times, this.#start);
    return (
      `communication: rank 0 sent ${byteSize(sentBytes)} in ${seconds.toFixed(1)} s; its steps waited ` +
      `${waitingSeconds.toFixed(1)} s for it; memory of the process ${byteSize(process.memoryUsage.rss())}`
    );
  }
}

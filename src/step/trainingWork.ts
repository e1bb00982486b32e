import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { GradientLedger, Recordings, Tape, type AdamOptions, type Engine, type LossSlot } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { ModelWeights } from '../model/weights.js';
import type { GradientParts } from './gradientParts.js';
import type { LossWeights } from './losses.js';
import type { ModelState } from './modelState.js';
import type { Objective } from './objective.js';
import type { StagedBatch, StepKeys } from './staging.js';
import type { StagedWork, StepMemory } from './stepMemory.js';

/**
 * The largest number of recordings that are kept. Each combination of input slot, place of a part in its step, and set of
 * capacities has a recording.
 */
const mostRecordings = 128;

/** The place of a part in its step. */
interface PartOf<L extends string> {
  readonly weights: LossWeights<L>;
  readonly first: boolean;
  readonly last: boolean;
  /** The part of the global batch whose gradient is computed separately; only for a model that shares its steps. */
  readonly gradientPart?: number | undefined;
}

export interface StepWork<L extends string> {
  readonly weights: LossWeights<L>;
  /** Whether the step ends with an update. */
  readonly update: boolean;
  /**
   * Resolves to true if the last update was made, else to false. Undefined if the result of the last step is no longer
   * needed.
   */
  readonly before: Promise<boolean> | undefined;
  /** The gradient part of each batch, for a model that shares its steps. */
  readonly partOf: readonly number[];
}

/** The parts of a model that its steps use. */
export interface StepWorld<L extends string> {
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly objective: Objective<L, unknown>;
  readonly adam: AdamOptions;
  readonly state: ModelState;
  readonly memory: StepMemory;
  readonly slotOf: (loss: L) => LossSlot;
  /** A key for everything except the batch on which the op calls of some work depend. */
  readonly kindOf: (work: string, weights: LossWeights<L>) => string;
}

/** Enqueues training steps: forward and backward of all parts of a batch, and the update. */
export class TrainingWork<L extends string> {
  readonly #world: StepWorld<L>;
  readonly #recordings: Recordings<GradientLedger>;
  #parts: GradientParts | undefined;

  constructor(world: StepWorld<L>) {
    this.#world = world;
    this.#recordings = new Recordings(world.engine, mostRecordings);
  }

  /** From now on steps compute the gradient of each part of a global batch separately. */
  share(parts: GradientParts): void {
    this.#parts = parts;
  }

  /** Enqueues the work of a step. `done` resolves with the values of the report. */
  async enqueue(
    parts: readonly Batch[],
    keys: StepKeys,
    { weights, update, before, partOf }: StepWork<L>,
  ): Promise<{ readonly done: Promise<Float32Array> }> {
    const { groups, ownRate } = this.#world.objective;
    if (update) await this.#world.state.prepareUpdate(groups(weights), ownRate?.groups);
    const uploads: Promise<void>[] = [];
    const last = this.#parts
      ? await this.#enqueueShared(this.#parts, parts, keys, { weights, partOf }, uploads)
      : await this.#enqueueParts(parts, keys, weights, uploads);
    // While this waits, the device computes this step's gradient. If the step before made no update, this step must not make
    // one either, because the caller looks for the cause with the weights before both steps.
    if (update && (await before) === false) throw notMade(keys.step);
    if (update && last) this.#world.state.update(last, this.#world.adam);
    const report = Promise.all([this.#world.engine.readFloats(this.#world.state.report), ...uploads]);
    return { done: report.then(([values]) => values) };
  }

  /** Enqueues forward and backward of batches, whose gradients are added up in order. Returns the last staged batch. */
  async #enqueueParts(
    parts: readonly Batch[],
    keys: StepKeys,
    weights: LossWeights<L>,
    uploads: Promise<void>[],
    gradientPart?: number,
  ): Promise<StagedBatch | undefined> {
    let ledger = new GradientLedger();
    let last: StagedBatch | undefined;
    for (const [i, part] of parts.entries()) {
      const { staged, key, uploaded } = await this.#world.memory.stage(part, keys, this.work(weights));
      uploads.push(uploaded);
      const of: PartOf<L> = { weights, first: i === 0, last: i === parts.length - 1, gradientPart };
      ledger = this.#recordings.run(JSON.stringify([key, of.first, of.last, gradientPart, ledger.key]), () =>
        this.#trainPart(staged, of, new GradientLedger(ledger)),
      );
      last = staged;
    }
    return last;
  }

  /** Enqueues the gradient parts of this rank, separately, and the sum of all. Returns the step records of the update. */
  async #enqueueShared(
    shared: GradientParts,
    parts: readonly Batch[],
    keys: StepKeys,
    { weights, partOf }: Pick<StepWork<L>, 'weights' | 'partOf'>,
    uploads: Promise<void>[],
  ): Promise<Pick<StagedBatch, 'record' | 'ownRateRecord'>> {
    const ranges = this.#world.state.ranges(this.#world.objective.groups(weights));
    for (let part = shared.first; part < shared.end; part++) {
      const batches = parts.filter((_, i) => partOf[i] === part);
      if (batches.length > 0) await this.#enqueueParts(batches, keys, weights, uploads, part);
      else {
        // This part has no samples, so its gradient and its sums are zeros.
        this.#world.state.clearTallies();
        shared.endPart(part, ranges, new GradientLedger(), new GradientLedger()).rest();
      }
    }
    const { done, ...records } = this.#world.state.uploadRecords(keys);
    done.catch(() => undefined); // the error is thrown again where the results of the step are read
    uploads.push(done);
    return records;
  }

  /** Adds the gradient of one part to the gradients that the ledger lists; returns the ledger of the sum. */
  #trainPart(
    staged: StagedBatch,
    { weights, first, last, gradientPart }: PartOf<L>,
    ledger: GradientLedger,
  ): GradientLedger {
    if (first) this.#world.state.clearTallies();
    const groups = this.#world.objective.groups(weights);
    if (!last || !this.#parts || gradientPart === undefined) {
      this.#forwardAndBackward(staged, weights, ledger);
      if (last) this.#world.state.clearUnwritten(groups, ledger);
      return ledger;
    }
    // All ops of the part are planned first, to find out which gradients are complete after each op.
    const whole = new GradientLedger(ledger);
    this.#world.engine.plan(() => this.#forwardAndBackward(staged, weights, whole));
    const end = this.#parts.endPart(gradientPart, this.#world.state.ranges(groups), whole, ledger);
    this.#forwardAndBackward(staged, weights, ledger, end.ready);
    end.rest();
    return ledger;
  }

  /** Forward and backward of one batch, to plan its memory. */
  work(weights: LossWeights<L>): StagedWork {
    const run = (staged: StagedBatch): void => this.#forwardAndBackward(staged, weights, new GradientLedger());
    return { kind: this.#world.kindOf('train', weights), run };
  }

  #forwardAndBackward(
    staged: StagedBatch,
    weights: LossWeights<L>,
    ledger: GradientLedger,
    afterBackward?: () => void,
  ): void {
    const tape = new Tape(this.#world.engine, { training: true, ledger, afterBackward });
    const encoder = { tape, weights: this.#world.weights, config: this.#world.config };
    this.#world.objective.forward({ encoder, batch: staged, weights, slotOf: this.#world.slotOf });
    tape.backward();
  }
}

/** The error of a step that was enqueued after a step that is not finite. */
function notMade(step: number): LxmertError {
  return new LxmertError(
    'NOT_FINITE',
    `step ${step} was not made: a loss or the gradient of the step before it is not finite. The weights were not changed`,
  );
}

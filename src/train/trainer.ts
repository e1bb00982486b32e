import type { ResolvedRunConfig, RunConfig } from '../config/runConfig.js';
import { toTransformersJson } from '../config/transformers.js';
import type { BatchPosition, PositionedBatch } from '../data/batching.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { lossNames } from '../tasks/losses.js';
import type { LossWeights, StepResult } from '../tasks/losses.js';
import { loadCheckpoint, rewriteTrainerState } from './checkpoint.js';
import { CheckpointStore } from './checkpointStore.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import { findNonFinite } from './nonFinite.js';
import type { TrainObserver } from './observer.js';
import type { PretrainModel, PretrainSource } from './ports.js';
import { Recorder } from './recorder.js';
import type { RunFolder } from './runFolder.js';
import { learningRate } from './schedule.js';
import { lossWeights } from './taskMix.js';
import { isFinished, stopsEarly } from './trainerState.js';
import type { TrainerState } from './trainerState.js';
import { validate } from './validation.js';

export interface TrainOptions {
  readonly config: ResolvedRunConfig;
  readonly run: RunFolder;
  readonly model: PretrainModel;
  readonly source: PretrainSource;
  /** The answer table; absent: QA is off. */
  readonly answers?: readonly string[] | undefined;
  /** Where to go on; absent: at the start, with the weights that the model has. */
  readonly from?: TrainerState | undefined;
  readonly observer?: TrainObserver | undefined;
  /** Ends the run after the step at hand, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

export interface TrainSummary {
  readonly step: number;
  readonly totalSteps: number;
  /** False when the signal came first. */
  readonly finished: boolean;
  /** Whether `earlyStop` ended it before its last step. */
  readonly stoppedEarly: boolean;
  /** The newest checkpoint. */
  readonly checkpoint: string;
  readonly best?: TrainerState['best'];
  /** Of this process: the last step and the last validation. */
  readonly lastStep?: StepRecord;
  readonly lastValidation?: ValidRecord;
}

/** Optimizer steps of a whole run. */
export function totalSteps(
  { epochs, maxSteps }: Pick<RunConfig, 'epochs' | 'maxSteps'>,
  batchesPerEpoch: number,
): number {
  return maxSteps ?? (epochs ?? 1) * batchesPerEpoch;
}

/** Runs the optimizer steps of a run, from its start or a checkpoint, to its end or a signal. */
export async function train(options: TrainOptions): Promise<TrainSummary> {
  const trainer = await Trainer.prepare(options);
  try {
    return await trainer.run();
  } finally {
    await trainer.close();
  }
}

/** A step that the device works on. */
interface Flight {
  readonly batch: PositionedBatch;
  readonly step: number;
  readonly lr: number;
  /** The numbers, and when they came (`performance.now()`). */
  readonly result: Promise<{ readonly outcome: StepResult; readonly at: number }>;
}

class Trainer {
  readonly #options: TrainOptions;
  readonly #store: CheckpointStore;
  readonly #recorder: Recorder;
  #state: TrainerState;
  /** Step of the newest checkpoint. */
  #saved: number | undefined;
  /** When the step before was done; samples per second are counted from it. */
  #clock = performance.now();
  #lastStep: StepRecord | undefined;
  #lastValidation: ValidRecord | undefined;

  private constructor(options: TrainOptions, store: CheckpointStore, recorder: Recorder, state: TrainerState) {
    this.#options = options;
    this.#store = store;
    this.#recorder = recorder;
    this.#state = state;
    this.#saved = options.from?.step;
  }

  static async prepare(options: TrainOptions): Promise<Trainer> {
    const { config, run, model, source, from, observer } = options;
    const state = from ?? startOf(config, source.batchesPerEpoch);
    const store = new CheckpointStore(run.checkpoints, { keep: config.keep });
    if (from) {
      demandSameSchedule(from, startOf(config, source.batchesPerEpoch));
      await loadCheckpoint(store.path(from.step), model);
      await store.prepare();
      await store.settle(from.best?.step);
    } else {
      await store.prepare();
      await store.clear();
    }
    const { recorder, stepsFound } = await Recorder.open(run, state.step);
    if (stepsFound < state.step)
      observer?.note?.(
        `${run.metrics} ends at step ${stepsFound}, before the checkpoint; the steps between stay unrecorded`,
      );
    observer?.started?.({
      step: state.step,
      totalSteps: state.schedule.totalSteps,
      batchesPerEpoch: source.batchesPerEpoch,
      parameters: model.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      folder: run.path,
      ...(from ? { resumedFrom: store.path(from.step) } : {}),
    });
    return new Trainer(options, store, recorder, state);
  }

  async close(): Promise<void> {
    await this.#recorder.close();
  }

  async run(): Promise<TrainSummary> {
    const { source, signal } = this.#options;
    const { totalSteps } = this.#state.schedule;
    if (this.#state.validationDue && !signal?.aborted) await this.#catchUpValidation();
    const batches = source.train(this.#state.position)[Symbol.asyncIterator]();
    try {
      let next = quiet(batches.next());
      let flight: Flight | undefined;
      this.#clock = performance.now();
      for (let step = this.#state.step; step < totalSteps && !this.#over(); step++) {
        const turn = await next;
        if (turn.done) throw new LxmertError('INTERNAL', `the training batches ended before step ${step + 1}`);
        const started = this.#start(step, turn.value);
        if (step + 1 < totalSteps) next = quiet(batches.next());
        if (flight) await this.#land(flight);
        flight = started;
        if (this.#pauseAfter(flight)) {
          await this.#land(flight);
          flight = undefined;
          await this.#pause();
        }
      }
      if (flight) await this.#land(flight);
    } finally {
      await batches.return?.();
    }
    if (this.#saved !== this.#state.step) await this.#save();
    return this.#summary();
  }

  /** Whether the run ends before its last step. */
  #over(): boolean {
    const { config, signal } = this.#options;
    return !!signal?.aborted || stopsEarly(this.#state, config.earlyStop);
  }

  /** Enqueues a step; what goes wrong with it comes out when it lands. */
  #start(step: number, batch: PositionedBatch): Flight {
    const { config, model } = this.#options;
    const lr = learningRate(step, this.#state.schedule);
    const weights = this.#weights(batch.position.epoch);
    const result = model
      .step(batch.parts, { step, learningRate: lr, seed: config.seed, weights })
      .then((outcome) => ({ outcome, at: performance.now() }));
    return { batch, step, lr, result: quiet(result) };
  }

  /** Waits for a step and records it. */
  async #land({ batch, step, lr, result }: Flight): Promise<void> {
    const { model, source, observer } = this.#options;
    const { epoch } = batch.position;
    let landed: Awaited<Flight['result']>;
    try {
      landed = await result;
    } catch (error) {
      if (!isLxmertError(error) || error.code !== 'NOT_FINITE') throw error;
      const where = await findNonFinite(model, batch.parts, this.#weights(epoch));
      const kept =
        this.#saved === undefined ? 'nothing was saved' : `the checkpoint of step ${this.#saved} is untouched`;
      throw new LxmertError(
        'NOT_FINITE',
        `step ${step + 1}: ${where}; the run stops, ${kept}. A lower learning rate often helps; when it happens at once, ` +
          'look at the features of these samples',
        { cause: error },
      );
    }
    batch.parts.forEach((part) => source.release(part));
    const { outcome, at } = landed;
    const samples = batch.parts.reduce((sum, { size }) => sum + size, 0);
    const record: StepRecord = {
      step: step + 1,
      epoch,
      lr,
      loss: outcome.loss,
      losses: outcome.losses,
      gradNorm: outcome.gradNorm,
      samplesPerSecond: Number(((1000 * samples) / Math.max(at - this.#clock, 0.001)).toPrecision(5)),
    };
    this.#clock = at;
    await this.#recorder.step(record);
    this.#state = {
      ...this.#state,
      step: step + 1,
      position: after(batch.position, this.#state.schedule.batchesPerEpoch),
      validationDue: false,
    };
    this.#lastStep = record;
    observer?.stepDone?.(record);
  }

  /** Whether there is something to do between this step and the next. */
  #pauseAfter({ step, batch }: Flight): boolean {
    return this.#validationDue(step + 1, batch.position) || this.#saveDue(step + 1) || !!this.#options.signal?.aborted;
  }

  #saveDue(step: number): boolean {
    return step % this.#options.config.saveEvery === 0 || step === this.#state.schedule.totalSteps;
  }

  #validationDue(step: number, position: BatchPosition): boolean {
    const { validEvery, data } = this.#options.config;
    const { batchesPerEpoch, totalSteps } = this.#state.schedule;
    if (data.valid.length === 0) return false;
    const due = validEvery === undefined ? position.batch + 1 === batchesPerEpoch : step % validEvery === 0;
    return due || step === totalSteps;
  }

  /** Validates and saves, whichever is due after the step that was done last. */
  async #pause(): Promise<void> {
    const { signal } = this.#options;
    const { step, position, schedule } = this.#state;
    const due = this.#validationDue(step, before(position, schedule.batchesPerEpoch));
    const best = due && (await this.#validate());
    if (best || signal?.aborted || this.#saveDue(step)) await this.#save();
    this.#clock = performance.now();
  }

  /** @returns whether it is the best so far; if the signal came, it is left for the next time */
  async #validate(): Promise<boolean> {
    const { config, model, source, signal, observer } = this.#options;
    const { step, position, schedule } = this.#state;
    const { epoch } = before(position, schedule.batchesPerEpoch);
    const weights = this.#weights(epoch);
    const outcome = await validate(model, source, {
      weights,
      signal,
      progress: observer?.validating,
    });
    if (!outcome) {
      this.#state = { ...this.#state, validationDue: !!signal?.aborted };
      return false;
    }
    const record: ValidRecord = { step, epoch, split: 'valid', ...outcome };
    await this.#recorder.validation(record);
    const best = this.#bestOf(weights);
    const isBest = Number.isFinite(record.loss) && (best === undefined || record.loss < best.loss);
    this.#state = {
      ...this.#state,
      validationDue: false,
      validationsSinceBest: isBest ? 0 : this.#state.validationsSinceBest + 1,
      ...(isBest ? { best: { step, loss: record.loss } } : {}),
    };
    this.#lastValidation = record;
    observer?.validated?.(record, isBest);
    const { validationsSinceBest: worse } = this.#state;
    if (step < schedule.totalSteps && stopsEarly(this.#state, config.earlyStop))
      observer?.note?.(
        `stops early: ${worse} ${worse === 1 ? 'validation' : 'validations in a row'} without a better loss` +
          (best ? ` than ${best.loss.toPrecision(5)} after step ${best.step}` : ''),
      );
    return isBest;
  }

  /** The best so far under these weights: sums of other losses cannot be compared. */
  #bestOf(weights: LossWeights): TrainerState['best'] {
    const { best, schedule } = this.#state;
    if (!best) return undefined;
    const then = this.#weights(Math.floor((best.step - 1) / schedule.batchesPerEpoch));
    return lossNames.every((name) => then[name] === weights[name]) ? best : undefined;
  }

  /** The validation that a stopped run left out after its last step; its checkpoint is then brought up to date. */
  async #catchUpValidation(): Promise<void> {
    await this.#validate();
    if (this.#state.validationDue) return;
    const { step, best } = this.#state;
    await this.#recorder.sync();
    await rewriteTrainerState(this.#store.path(step), this.#state);
    await this.#store.settle(best?.step);
  }

  async #save(): Promise<void> {
    const { config, run, model, answers, observer } = this.#options;
    const { step } = this.#state;
    await this.#recorder.sync();
    await run.lock.check();
    let path: string;
    try {
      path = await this.#store.save({
        model,
        state: this.#state,
        modelConfig: toTransformersJson(config.model, config.tasks),
        answers,
      });
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      const kept = this.#saved === undefined ? 'there is none before it' : `that of step ${this.#saved} is whole`;
      throw new LxmertError(error.code, `the checkpoint of step ${step} was not saved (${kept}): ${error.message}`, {
        cause: error,
      });
    }
    this.#saved = step;
    observer?.saved?.(path, step);
  }

  #weights(epoch: number) {
    return lossWeights(this.#options.config.tasks, epoch, this.#options.answers !== undefined);
  }

  #summary(): TrainSummary {
    const { step, schedule, best } = this.#state;
    const finished = isFinished(this.#state, this.#options.config.earlyStop);
    return {
      step,
      totalSteps: schedule.totalSteps,
      finished,
      stoppedEarly: finished && step < schedule.totalSteps,
      checkpoint: this.#store.path(step),
      ...(best ? { best } : {}),
      ...(this.#lastStep ? { lastStep: this.#lastStep } : {}),
      ...(this.#lastValidation ? { lastValidation: this.#lastValidation } : {}),
    };
  }
}

/** The state of a run that has done nothing yet. */
function startOf(config: ResolvedRunConfig, batchesPerEpoch: number): TrainerState {
  return {
    format: 1,
    step: 0,
    position: { epoch: 0, batch: 0 },
    seeds: { run: config.seed },
    schedule: {
      totalSteps: totalSteps(config, batchesPerEpoch),
      warmup: config.optimizer.warmup,
      peak: config.optimizer.lr,
      batchSize: config.batchSize,
      batchesPerEpoch,
    },
    validationsSinceBest: 0,
    validationDue: false,
  };
}

/** @throws BAD_CONFIG when the run would not go on as it began */
function demandSameSchedule(saved: TrainerState, now: TrainerState): void {
  const facts = ({ seeds, schedule }: TrainerState) => Object.entries({ ...schedule, seed: seeds.run });
  const current = new Map(facts(now));
  const changes = facts(saved).flatMap(([name, value]) =>
    current.get(name) === value ? [] : [`${name}: was ${value}, is ${current.get(name)}`],
  );
  if (changes.length > 0)
    throw new LxmertError('BAD_CONFIG', `the run cannot go on as it began (other data?): ${changes.join('; ')}`);
}

const after = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch + 1 === perEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: batch + 1 };

const before = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch === 0 ? { epoch: epoch - 1, batch: perEpoch - 1 } : { epoch, batch: batch - 1 };

/** Keeps a rejection for whoever awaits the promise, later. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

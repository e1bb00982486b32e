import type { BatchPosition } from '../data/batches/batching.js';
import { LxmertError, isLxmertError } from '../errors.js';
import type { LossWeights } from '../step/losses.js';
import { loadCheckpoint, rewriteTrainerState } from './checkpoint.js';
import { CheckpointStore } from './checkpointStore.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import { Recorder } from './recorder.js';
import type { TrainOptions, TrainSummary } from './trainOptions.js';
import { after, before, demandSameStart, isFinished, startOf, stopsEarly } from './trainerState.js';
import type { TrainerState } from './trainerState.js';

type Figures = Pick<ValidRecord, 'loss' | 'score'>;

/** By the score where there is one; of equals the earlier stays the best. */
const isBetter = (now: Figures, best: Figures): boolean =>
  now.score !== undefined && best.score !== undefined ? now.score > best.score : now.loss < best.loss;

/**
 * Where a run stands, and what happens between its steps: they are recorded, and at some of them the model is validated
 * and saved. All that survives the process passes through here.
 */
export class Milestones {
  readonly #options: TrainOptions;
  readonly #store: CheckpointStore;
  readonly #recorder: Recorder;
  #state: TrainerState;
  /** Step of the newest checkpoint. */
  #saved: number | undefined;
  #lastStep: StepRecord | undefined;
  #lastValidation: ValidRecord | undefined;

  private constructor(options: TrainOptions, store: CheckpointStore, recorder: Recorder, state: TrainerState) {
    this.#options = options;
    this.#store = store;
    this.#recorder = recorder;
    this.#state = state;
    this.#saved = options.from?.step;
  }

  /** Loads the checkpoint that the run goes on from, or clears the folder for one that starts. */
  static async prepare(options: TrainOptions): Promise<Milestones> {
    const { settings, training, run, from, observer, signal } = options;
    const { model, source, samples } = training;
    const start = startOf(settings, source.batchesPerEpoch, samples);
    const state = from ?? start;
    const store = new CheckpointStore(run.checkpoints, { keep: settings.keep });
    if (from) {
      demandSameStart(from, start);
      await loadCheckpoint(store.path(from.step), model, signal);
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
      resumedFrom: from && store.path(from.step),
    });
    return new Milestones(options, store, recorder, state);
  }

  get state(): TrainerState {
    return this.#state;
  }

  /** What is left of the run should it stop here, for messages. */
  get kept(): string {
    return this.#saved === undefined ? 'nothing was saved' : `the checkpoint of step ${this.#saved} is untouched`;
  }

  /** Records a step that is done. */
  async stepDone(record: StepRecord, position: BatchPosition): Promise<void> {
    await this.#recorder.step(record);
    this.#state = {
      ...this.#state,
      step: record.step,
      position: after(position, this.#state.schedule.batchesPerEpoch),
      validationDue: false,
    };
    this.#lastStep = record;
    this.#options.observer?.stepDone?.(record);
  }

  /** Whether there is something to do once a step is done, before the next. */
  isDue(step: number, position: BatchPosition): boolean {
    return this.#validationDue(step, position) || this.#saveDue(step) || !!this.#options.signal?.aborted;
  }

  /** Validates and saves, whichever is due after the step that was done last. */
  async pause(): Promise<void> {
    const { signal } = this.#options;
    const { step, position, schedule } = this.#state;
    const due = this.#validationDue(step, before(position, schedule.batchesPerEpoch));
    const best = due && (await this.#validate());
    if (best || signal?.aborted || this.#saveDue(step)) await this.#save();
  }

  /** The validation that a stopped run left out after its last step; its checkpoint is then brought up to date. */
  async catchUp(): Promise<void> {
    if (!this.#state.validationDue || this.#options.signal?.aborted) return;
    await this.#validate();
    if (this.#state.validationDue) return;
    const { step, best } = this.#state;
    await this.#recorder.sync();
    await rewriteTrainerState(this.#store.path(step), this.#state);
    await this.#store.settle(best?.step);
  }

  /** Saves what is not saved yet. */
  async finish(): Promise<TrainSummary> {
    if (this.#saved !== this.#state.step) await this.#save();
    const { step, schedule, best } = this.#state;
    const finished = isFinished(this.#state, this.#options.settings.earlyStop);
    return {
      step,
      totalSteps: schedule.totalSteps,
      finished,
      stoppedEarly: finished && step < schedule.totalSteps,
      checkpoint: this.#store.path(step),
      best,
      lastStep: this.#lastStep,
      lastValidation: this.#lastValidation,
    };
  }

  async close(): Promise<void> {
    await this.#recorder.close();
  }

  #saveDue(step: number): boolean {
    return step % this.#options.settings.saveEvery === 0 || step === this.#state.schedule.totalSteps;
  }

  #validationDue(step: number, position: BatchPosition): boolean {
    const { settings, training } = this.#options;
    const { validEvery } = settings;
    const { batchesPerEpoch, totalSteps } = this.#state.schedule;
    if (!training.validate) return false;
    const due = validEvery === undefined ? position.batch + 1 === batchesPerEpoch : step % validEvery === 0;
    return due || step === totalSteps;
  }

  /** @returns whether it is the best so far; if the signal came, it is left for the next time */
  async #validate(): Promise<boolean> {
    const { settings, training, signal, observer } = this.#options;
    const { step, position, schedule } = this.#state;
    const { epoch } = before(position, schedule.batchesPerEpoch);
    const outcome = await training.validate?.(epoch, { signal, progress: observer?.validating });
    if (!outcome) {
      this.#state = { ...this.#state, validationDue: !!signal?.aborted };
      return false;
    }
    const record: ValidRecord = { step, epoch, split: 'valid', ...outcome };
    await this.#recorder.validation(record);
    const best = this.#bestOf(training.weights(epoch));
    const isBest = Number.isFinite(record.loss) && (best === undefined || isBetter(record, best));
    this.#state = {
      ...this.#state,
      validationDue: false,
      validationsSinceBest: isBest ? 0 : this.#state.validationsSinceBest + 1,
      ...(isBest
        ? { best: { step, loss: record.loss, ...(record.score === undefined ? {} : { score: record.score }) } }
        : {}),
    };
    this.#lastValidation = record;
    observer?.validated?.(record, isBest);
    const { validationsSinceBest: worse } = this.#state;
    if (step < schedule.totalSteps && stopsEarly(this.#state, settings.earlyStop))
      observer?.note?.(
        `stops early: ${worse} ${worse === 1 ? 'validation' : 'validations in a row'} without a better ` +
          (best?.score === undefined ? 'loss' : 'score') +
          (best ? ` than ${(best.score ?? best.loss).toPrecision(5)} after step ${best.step}` : ''),
      );
    return isBest;
  }

  /** The best so far under these weights: sums of other losses cannot be compared. */
  #bestOf(weights: LossWeights<string>): TrainerState['best'] {
    const { best, schedule } = this.#state;
    if (!best) return undefined;
    const then = this.#options.training.weights(Math.floor((best.step - 1) / schedule.batchesPerEpoch));
    return Object.keys(weights).every((name) => then[name] === weights[name]) ? best : undefined;
  }

  async #save(): Promise<void> {
    const { training, run, observer } = this.#options;
    const { step } = this.#state;
    await this.#recorder.sync();
    await run.lock.check();
    let path: string;
    try {
      path = await this.#store.save({ model: training.model, files: training.files, state: this.#state });
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
}

import { toTransformersJson } from '../config/transformers.js';
import type { BatchPosition } from '../data/batches/batching.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { lossNames } from '../pretrain/losses.js';
import type { LossWeights } from '../pretrain/losses.js';
import { loadCheckpoint, readCheckpointAnswers, rewriteTrainerState } from './checkpoint.js';
import { CheckpointStore } from './checkpointStore.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import { Recorder } from './recorder.js';
import { lossWeights } from '../pretrain/taskMix.js';
import type { TrainOptions, TrainSummary } from './trainOptions.js';
import { after, before, demandSameStart, isFinished, startOf, stopsEarly } from './trainerState.js';
import type { TrainerState } from './trainerState.js';
import { validate } from '../pretrain/validation.js';

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
    const { config, run, model, source, samples, from, observer, signal } = options;
    const start = startOf(config, source.batchesPerEpoch, samples);
    const state = from ?? start;
    const store = new CheckpointStore(run.checkpoints, { keep: config.keep });
    if (from) {
      demandSameStart(from, start);
      demandSameAnswers(await readCheckpointAnswers(store.path(from.step)), options.answers, store.path(from.step));
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
      ...(from ? { resumedFrom: store.path(from.step) } : {}),
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

  /** Weights of the losses in an epoch. */
  weights(epoch: number): LossWeights {
    return lossWeights(this.#options.config.tasks, epoch, this.#options.answers !== undefined);
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

  async close(): Promise<void> {
    await this.#recorder.close();
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

  /** @returns whether it is the best so far; if the signal came, it is left for the next time */
  async #validate(): Promise<boolean> {
    const { config, model, source, signal, observer } = this.#options;
    const { step, position, schedule } = this.#state;
    const { epoch } = before(position, schedule.batchesPerEpoch);
    const weights = this.weights(epoch);
    const outcome = await validate(model, source, { weights, signal, progress: observer?.validating });
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
    const then = this.weights(Math.floor((best.step - 1) / schedule.batchesPerEpoch));
    return lossNames.every((name) => then[name] === weights[name]) ? best : undefined;
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
}

/** @throws BAD_CHECKPOINT when a row of the answer head would mean another answer than it has learnt */
function demandSameAnswers(
  saved: readonly string[] | undefined,
  now: readonly string[] | undefined,
  checkpoint: string,
): void {
  const advice =
    `Give the data it was trained on, or start another run with --init ${checkpoint}, ` +
    'which carries the answers over by their words';
  const has = (answers: readonly string[] | undefined): string => (answers ? 'one' : 'none');
  if (saved === now) return;
  if (!saved || !now)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${checkpoint}: of answer tables it has ${has(saved)} (answers.json), the data have ${has(now)}. ${advice}`,
    );
  const said = (answers: readonly string[], row: number): string => JSON.stringify(answers[row] ?? 'nothing');
  for (let row = 0; row < Math.max(saved.length, now.length); row++)
    if (saved[row] !== now[row])
      throw new LxmertError(
        'BAD_CHECKPOINT',
        `${checkpoint}: its answer table is not that of the data: answer ${row} is ${said(saved, row)} there and ` +
          `${said(now, row)} here. ${advice}`,
      );
}

import type { BatchPosition } from '../data/batches/batching.js';
import { LxmertError, isLxmertError } from '../errors.js';
import type { LossWeights } from '../step/losses.js';
import { demandFiles, giveMoments, hinting, loadCheckpoint, rewriteTrainerState } from './checkpoint.js';
import { CommunicationMeter } from './communication.js';
import { CheckpointStore } from './checkpointStore.js';
import type { StepRecord, ValidRecord } from './metrics.js';
import { Recorder } from './recorder.js';
import { RunFolder } from './runFolder.js';
import type { TrainOptions, TrainSummary } from './trainOptions.js';
import { after, before, continued, isFinished, startOf, stopsEarly } from './trainerState.js';
import type { TrainerState } from './trainerState.js';

type Figures = Pick<ValidRecord, 'loss' | 'score'>;

/** The figures of the best validation that are saved in the state, with the score if there is one. */
const bestOf = (step: number, { loss, score }: Figures) =>
  score === undefined ? { step, loss } : { step, loss, score };

/** Compares by the score if there is one, otherwise by the loss. If both are equal, the earlier one stays the best. */
const isBetter = (now: Figures, best: Figures): boolean =>
  now.score !== undefined && best.score !== undefined ? now.score > best.score : now.loss < best.loss;

/** The files that one process of a run writes. */
interface Written {
  readonly folder: RunFolder;
  readonly recorder: Recorder;
}

/**
 * The state of a run, and the work between its steps: each step is recorded, and after some steps the model is saved
 * and validated. All writing of a run's files begins in this class.
 */
export class Milestones {
  readonly #options: TrainOptions;
  readonly #store: CheckpointStore;
  /** The folder and its records, if this rank writes them. */
  readonly #written: Written | undefined;
  readonly #communication: CommunicationMeter | undefined;
  #state: TrainerState;
  /** Step of the newest checkpoint. */
  #saved: number | undefined;
  #lastStep: StepRecord | undefined;
  #lastValidation: ValidRecord | undefined;

  private constructor(
    options: TrainOptions,
    store: CheckpointStore,
    written: Written | undefined,
    state: TrainerState,
  ) {
    this.#options = options;
    this.#store = store;
    this.#written = written;
    this.#state = state;
    this.#saved = options.from?.step;
    this.#communication = options.ranks && new CommunicationMeter(options.ranks.communicator);
  }

  /**
   * Loads the checkpoint from which the run continues. For a run that starts from step 0, clears the folder.
   * @param join called before anything is written
   */
  static async prepare(options: TrainOptions, join: () => Promise<void>): Promise<Milestones> {
    const { settings, training, run, from, observer, signal } = options;
    const { model, source, samples, samplesDifference, files } = training;
    const { keep, keepEvery } = settings;
    const start = startOf(settings, source.batchesPerEpoch, samples);
    const state = from ? continued(from, start, samplesDifference) : start;
    const store = new CheckpointStore(run.checkpoints, {
      keep,
      forGood: (step) => keepEvery !== undefined && step % (keepEvery * source.batchesPerEpoch) === 0,
    });
    if (from) {
      const checkpoint = store.path(from.step);
      await hinting(checkpoint, async () => {
        await demandFiles(checkpoint, files);
        await loadCheckpoint(checkpoint, model, signal);
      });
    }
    await join();
    if (options.description) await run.writeConfig(options.description);
    let written: Written | undefined;
    let stepsFound = state.step;
    if (run instanceof RunFolder) {
      await store.prepare();
      await (from ? store.settle(from.best?.step) : store.clear());
      const opened = await Recorder.open(run, state);
      written = { folder: run, recorder: opened.recorder };
      stepsFound = opened.stepsFound;
    }
    if (written && stepsFound < state.step)
      observer?.note?.(
        `${written.folder.metrics} ends at step ${stepsFound}, before the checkpoint; it will not have the steps between`,
      );
    if (from && state.schedule.totalSteps > from.schedule.totalSteps)
      observer?.note?.(
        `the run now ends after step ${state.schedule.totalSteps}; it was planned to end after step ` +
          `${from.schedule.totalSteps}. From here on its learning rates are those of the longer run`,
      );
    observer?.started?.({
      step: state.step,
      totalSteps: state.schedule.totalSteps,
      batchesPerEpoch: source.batchesPerEpoch,
      parameters: model.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      folder: run.path,
      resumedFrom: from && store.path(from.step),
    });
    return new Milestones(options, store, written, state);
  }

  get state(): TrainerState {
    return this.#state;
  }

  /** A text for messages. It says what is saved if the run ends now. */
  get kept(): string {
    return this.#saved === undefined ? 'nothing was saved' : `the checkpoint of step ${this.#saved} is unchanged`;
  }

  /** Records a step that is done. */
  async stepDone(record: StepRecord, position: BatchPosition): Promise<void> {
    await this.#written?.folder.lock.checkIfLate();
    await this.#written?.recorder.step(record, this.#communication?.next());
    this.#state = {
      ...this.#state,
      step: record.step,
      position: after(position, this.#state.schedule.batchesPerEpoch),
      validationDue: false,
    };
    this.#lastStep = record;
    this.#options.observer?.stepDone?.(record);
  }

  /** Whether the next step may start only after this step is recorded, because a validation or checkpoint follows. */
  isDue(step: number, position: BatchPosition): boolean {
    return this.#validationDue(step, position) || this.#saveDue(step) || !!this.#options.signal?.aborted;
  }

  /** Saves and validates if this is due after the last step. Saves first, so that no step is lost if the validation fails. */
  async pause(): Promise<void> {
    const { step, position, schedule } = this.#state;
    const validationDue = this.#validationDue(step, before(position, schedule.batchesPerEpoch));
    this.#state = { ...this.#state, validationDue };
    if (this.#saveDue(step) || this.#options.signal?.aborted) await this.#save();
    if (validationDue && !this.#options.signal?.aborted) await this.#validateAndKeep();
  }

  /** Runs the validation that was due when the run was stopped. */
  async catchUp(): Promise<void> {
    if (this.#state.validationDue && !this.#options.signal?.aborted) await this.#validateAndKeep();
  }

  /** Saves the last step if it is not saved yet. Returns the summary of the run. */
  async finish(): Promise<TrainSummary> {
    if (this.#saved !== this.#state.step) await this.#save();
    if (this.#communication) this.#options.observer?.note?.(this.#communication.describe());
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
    await this.#written?.recorder.close();
  }

  #saveDue(step: number): boolean {
    const { settings, saveRequest } = this.#options;
    const { totalSteps } = this.#state.schedule;
    const dueByStep = step % settings.saveEvery === 0 || step === totalSteps || this.#store.keepsForGood(step);
    return dueByStep || !!saveRequest?.wanted;
  }

  #validationDue(step: number, position: BatchPosition): boolean {
    const { settings, training } = this.#options;
    const { validEvery } = settings;
    const { batchesPerEpoch, totalSteps } = this.#state.schedule;
    if (!training.validate) return false;
    const due = validEvery === undefined ? position.batch + 1 === batchesPerEpoch : step % validEvery === 0;
    return due || step === totalSteps;
  }

  /**
   * Validates. If this step has a checkpoint, its state is updated. Otherwise a checkpoint is saved if the model is the
   * best so far, if the signal was aborted, or if the validation fails.
   */
  async #validateAndKeep(): Promise<void> {
    const { step } = this.#state;
    const isSaved = () => this.#saved === step;
    let best: boolean;
    try {
      best = await this.#validate();
    } catch (error) {
      // Saving may fail for the same reason, and the first error must be reported. If each rank stores only a part of
      // the moments, no rank can save alone.
      if (!isSaved() && !this.#options.ranks?.shardOptimizer) await this.#save().catch(() => undefined);
      if (!isLxmertError(error)) throw error;
      throw new LxmertError(error.code, `the validation after step ${step} failed (${this.kept}): ${error.message}`, {
        cause: error,
      });
    }
    if (isSaved() && !this.#state.validationDue) {
      if (!this.#written) return;
      await this.#written.recorder.sync();
      await this.#written.folder.lock.check();
      await rewriteTrainerState(this.#store.path(step), this.#state);
      await this.#store.settle(this.#state.best?.step);
    } else if (!isSaved() && (best || this.#options.signal?.aborted)) await this.#save();
  }

  /** @returns whether the model is the best so far. If the signal interrupts the validation, it stays due */
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
    await this.#written?.recorder.validation(record);
    const best = this.#bestOf(training.weights(epoch));
    const isBest = Number.isFinite(record.loss) && (best === undefined || isBetter(record, best));
    this.#state = {
      ...this.#state,
      validationDue: false,
      validationsSinceBest: isBest ? 0 : this.#state.validationsSinceBest + 1,
      best: isBest ? bestOf(step, record) : this.#state.best,
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

  /** The best validation so far with the same loss weights; validations with other weights cannot be compared. */
  #bestOf(weights: LossWeights<string>): TrainerState['best'] {
    const { best, schedule } = this.#state;
    if (!best) return undefined;
    const then = this.#options.training.weights(Math.floor((best.step - 1) / schedule.batchesPerEpoch));
    return Object.keys(weights).every((name) => then[name] === weights[name]) ? best : undefined;
  }

  async #save(): Promise<void> {
    const { training, observer, saveRequest } = this.#options;
    const { step } = this.#state;
    if (saveRequest) saveRequest.wanted = false;
    if (!this.#written) {
      if (this.#options.ranks?.shardOptimizer) await giveMoments(training.model);
      this.#saved = step;
      return;
    }
    await this.#written.recorder.sync();
    await this.#written.folder.lock.check();
    let path: string;
    try {
      path = await this.#store.save({ model: training.model, files: training.files, state: this.#state });
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      const kept =
        this.#saved === undefined ? 'there is no earlier one' : `the one of step ${this.#saved} is unchanged`;
      throw new LxmertError(error.code, `the checkpoint of step ${step} was not saved (${kept}): ${error.message}`, {
        cause: error,
      });
    }
    this.#saved = step;
    observer?.saved?.(path, step);
  }
}

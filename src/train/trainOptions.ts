import type { StepRecord, ValidRecord } from './metrics.js';
import type { TrainObserver } from './observer.js';
import type { RunFolder } from './runFolder.js';
import type { Training, TrainSettings } from './trainable.js';
import type { TrainerState } from './trainerState.js';

export interface TrainOptions {
  readonly settings: TrainSettings;
  readonly training: Training;
  readonly run: RunFolder;
  /** Where to go on; absent: at the start, with the weights that the model has. */
  readonly from?: TrainerState | undefined;
  readonly observer?: TrainObserver | undefined;
  /** Ends the run after the step at hand, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

export interface TrainSummary {
  readonly step: number;
  /** Unknown when the signal came before the data of a new run were open. */
  readonly totalSteps?: number | undefined;
  /** False when the signal came first. */
  readonly finished: boolean;
  /** Whether `earlyStop` ended it before its last step. */
  readonly stoppedEarly: boolean;
  /** The newest checkpoint; absent when the signal came before the first one. */
  readonly checkpoint?: string | undefined;
  readonly best?: TrainerState['best'] | undefined;
  /** Of this process: the last step and the last validation. */
  readonly lastStep?: StepRecord | undefined;
  readonly lastValidation?: ValidRecord | undefined;
}

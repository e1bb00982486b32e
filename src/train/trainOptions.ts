import type { StepRecord, ValidRecord } from './metrics.js';
import type { TrainObserver } from './observer.js';
import type { SaveRequest, TrainRanks } from './ranks.js';
import type { RunPlace } from './runFolder.js';
import type { Training, TrainSettings } from './trainable.js';
import type { TrainerState } from './trainerState.js';

export interface TrainOptions {
  readonly settings: TrainSettings;
  readonly training: Training;
  /** The run folder. Nothing is written unless it is a `RunFolder`. */
  readonly run: RunPlace;
  /** Written into the run folder before the first step. */
  readonly description?: object | undefined;
  /** The state to continue from. If absent, the run starts from step 0, with the current weights of the model. */
  readonly from?: TrainerState | undefined;
  readonly observer?: TrainObserver | undefined;
  /** Ends the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  readonly saveRequest?: SaveRequest | undefined;
  /** Absent if this process trains alone. */
  readonly ranks?: TrainRanks | undefined;
}

export interface TrainSummary {
  readonly step: number;
  /** Absent if the signal ended a new run before its data were open. */
  readonly totalSteps?: number | undefined;
  /** False when the signal ended the run. */
  readonly finished: boolean;
  /** Whether `earlyStop` ended the run before its last step. */
  readonly stoppedEarly: boolean;
  /** The newest checkpoint; absent if the signal ended the run before the first one. */
  readonly checkpoint?: string | undefined;
  readonly best?: TrainerState['best'] | undefined;
  /** The last step and the last validation that this process made. */
  readonly lastStep?: StepRecord | undefined;
  readonly lastValidation?: ValidRecord | undefined;
}

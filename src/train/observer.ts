import type { StepRecord, ValidRecord } from './metrics.js';

/** The facts of a run that begins. */
export interface RunStart {
  /** Steps done so far, and steps of the whole run. */
  readonly step: number;
  readonly totalSteps: number;
  readonly batchesPerEpoch: number;
  readonly parameters: number;
  readonly folder: string;
  /** The checkpoint from which the run continues, if any. */
  readonly resumedFrom?: string | undefined;
}

/** Callbacks for the events of a run. Each is optional and must not throw. */
export interface TrainObserver {
  readonly started?: (start: RunStart) => void;
  /** The share of the features that is on the device so far (`residentFeatures`). */
  readonly loading?: (share: number) => void;
  readonly stepDone?: (record: StepRecord) => void;
  readonly validating?: (batches: number) => void;
  readonly validated?: (record: ValidRecord, best: boolean) => void;
  readonly saved?: (path: string, step: number) => void;
  /** A message that the user should see once. */
  readonly note?: (text: string) => void;
}

import type { StepRecord, ValidRecord } from './metrics.js';

/** What a run is about to do. */
export interface RunStart {
  /** Steps done before, and steps of the whole run. */
  readonly step: number;
  readonly totalSteps: number;
  readonly batchesPerEpoch: number;
  readonly parameters: number;
  readonly folder: string;
  /** The checkpoint it goes on from, if any. */
  readonly resumedFrom?: string | undefined;
}

/** Told of a run as it goes on; every callback is optional and must not throw. */
export interface TrainObserver {
  readonly started?: (start: RunStart) => void;
  /** Share of the features that lie on the device so far (`residentFeatures`). */
  readonly loading?: (share: number) => void;
  readonly stepDone?: (record: StepRecord) => void;
  readonly validating?: (batches: number) => void;
  readonly validated?: (record: ValidRecord, best: boolean) => void;
  readonly saved?: (path: string, step: number) => void;
  /** Something that the user should know once. */
  readonly note?: (text: string) => void;
}

import type { TrainerState } from '../../../src/train/trainerState.js';

/** The state of a run of 100 steps, 10 an epoch. */
export function stateAt(step: number, more: Partial<TrainerState> = {}): TrainerState {
  return {
    format: 1,
    step,
    position: { epoch: Math.floor(step / 10), batch: step % 10 },
    seeds: { run: 5 },
    schedule: { totalSteps: 100, warmup: 0.1, peak: 0.5, batchSize: 4, batchesPerEpoch: 10 },
    validationsSinceBest: 0,
    validationDue: false,
    ...more,
  };
}

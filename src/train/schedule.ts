import type { TrainSettings } from './trainable.js';

/** The settings of the learning rate, and the length of the run. */
export type ScheduleOptions = TrainSettings['optimizer'] & {
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
};

/**
 * The learning rate of an optimizer step, which is counted from 0: BertAdam's linear warm-up, then linear decay to 0.
 * If there is a warm-up, the rate of the first update is 0, as in the original.
 */
export function learningRate(step: number, { lr, totalSteps, warmup }: ScheduleOptions): number {
  const x = step / totalSteps;
  return lr * (x < warmup ? x / warmup : Math.max((x - 1) / (warmup - 1), 0));
}

/** Optimizer steps of a whole run. */
export function totalSteps(
  { epochs, maxSteps }: Pick<TrainSettings, 'epochs' | 'maxSteps'>,
  batchesPerEpoch: number,
): number {
  return maxSteps ?? (epochs ?? 1) * batchesPerEpoch;
}

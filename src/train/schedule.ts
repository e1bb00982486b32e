import type { RunConfig } from '../config/runConfig.js';

export interface ScheduleOptions {
  /** Highest learning rate, reached at the end of the warm-up. */
  readonly peak: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Share of the steps in which the rate rises, [0, 1). */
  readonly warmup: number;
}

/**
 * Learning rate of an optimizer step, counted from 0: BertAdam's linear warm-up, then linear decay to 0. With a warm-up
 * the first update has rate 0, as in the original.
 */
export function learningRate(step: number, { peak, totalSteps, warmup }: ScheduleOptions): number {
  const x = step / totalSteps;
  return peak * (x < warmup ? x / warmup : Math.max((x - 1) / (warmup - 1), 0));
}

/** Optimizer steps of a whole run. */
export function totalSteps(
  { epochs, maxSteps }: Pick<RunConfig, 'epochs' | 'maxSteps'>,
  batchesPerEpoch: number,
): number {
  return maxSteps ?? (epochs ?? 1) * batchesPerEpoch;
}

import { recordOf } from '../records.js';

/** Weight of each loss in the total. 0 turns a loss off; the optimizer then does not change its head. */
export type LossWeights<L extends string> = Readonly<Record<L, number>>;

/** The number of labels (or objects) by which each loss is divided. */
export type LossCounts<L extends string> = Readonly<Record<L, number>>;

/** Sums of one loss over some samples. The tally of a batch is the sum of the tallies of its parts. */
export interface Tally {
  /** Σ weight × loss over the labels. */
  readonly lossSum: number;
  /** The divisor of the sum: labels (maskedLm, matched, qa) or real objects (obj, attr, feat). */
  readonly count: number;
  /** Labels whose arg-max is right, and labels with an arg-max; both are 0 for a regression. */
  readonly correct: number;
  readonly labelled: number;
}

export type Tallies<L extends string> = Readonly<Record<L, Tally>>;

/** Mean of each loss that is on, without its weight; 0 if the batch has no label. */
export type MeanLosses<L extends string> = Readonly<Partial<Record<L, number>>>;

/** The result of one optimizer step. */
export interface StepResult<L extends string> {
  /** Σ weight × loss. */
  readonly loss: number;
  readonly losses: MeanLosses<L>;
  /** Norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** Examples of the global batch, over all ranks; absent for a model that shares its steps with no other rank. */
  readonly examples?: number | undefined;
}

export interface StepOptions<L extends string> {
  /** Optimizer step, from 0 to 2³² - 1. Dropout depends on it and on the seed. */
  readonly step: number;
  /** Finite, from 0. */
  readonly learningRate: number;
  /** From 0 to 2³² - 1. */
  readonly seed: number;
  readonly weights: LossWeights<L>;
  /**
   * For each part of the batch, the number of the gradient part of the global batch to which it belongs. Only for a
   * model that shares its steps.
   */
  readonly partOf?: readonly number[] | undefined;
}

/** The losses whose weight is not 0. */
export const lossesOn = <L extends string>(names: readonly L[], weights: LossWeights<L>): readonly L[] =>
  names.filter((name) => weights[name] !== 0);

export function addCounts<L extends string>(names: readonly L[], parts: readonly LossCounts<L>[]): LossCounts<L> {
  return recordOf(names, (name) => parts.reduce<number>((sum, counts) => sum + counts[name], 0));
}

export function addTallies<L extends string>(names: readonly L[], a: Tallies<L>, b: Tallies<L>): Tallies<L> {
  return recordOf(names, (name) => ({
    lossSum: a[name].lossSum + b[name].lossSum,
    count: a[name].count + b[name].count,
    correct: a[name].correct + b[name].correct,
    labelled: a[name].labelled + b[name].labelled,
  }));
}

/** The losses, and the constant factor of each in addition to its weight. */
export interface LossFactors<L extends string> {
  readonly names: readonly L[];
  readonly factors: Readonly<Record<L, number>>;
}

/**
 * d total / d (sum of a loss), in the order of the device's loss record. If a loss has no label in the batch, its count is
 * taken as 1, so its mean is 0 and not NaN.
 */
export function lossScale<L extends string>(
  { names, factors }: LossFactors<L>,
  weights: LossWeights<L>,
  counts: LossCounts<L>,
): number[] {
  return names.map((name) => (weights[name] * factors[name]) / Math.max(1, counts[name]));
}

/** Mean of each loss that is on, with its factor and without its weight, and their weighted sum. */
export function meanLosses<L extends string>(
  { names, factors }: LossFactors<L>,
  tallies: Tallies<L>,
  weights: LossWeights<L>,
): { readonly total: number; readonly losses: MeanLosses<L> } {
  const losses: Partial<Record<L, number>> = {};
  let total = 0;
  for (const name of lossesOn(names, weights)) {
    const { lossSum, count } = tallies[name];
    const loss = (lossSum * factors[name]) / Math.max(1, count);
    losses[name] = loss;
    total += weights[name] * loss;
  }
  return { total, losses };
}

/** The six losses of the five pre-training tasks (LXMERT, section 3.1), in the order of the device's loss record. */
export const lossNames = ['maskedLm', 'matched', 'obj', 'attr', 'feat', 'qa'] as const;

export type LossName = (typeof lossNames)[number];

/** Weight of each loss in the total; 0 turns it off, and its head is left untouched by the optimizer. */
export type LossWeights = Readonly<Record<LossName, number>>;

/** The paper's total: the plain sum of all six. */
export const plainSum: LossWeights = { maskedLm: 1, matched: 1, obj: 1, attr: 1, feat: 1, qa: 1 };

/** Sums of one loss over some samples; adding tallies of parts gives the tally of the whole. */
export interface Tally {
  /** Σ weight × loss over the labels. */
  readonly lossSum: number;
  /** What the sum is divided by: labels (maskedLm, matched, qa) or real objects (obj, attr, feat). */
  readonly count: number;
  /** Labels whose arg-max was right, and labels with an arg-max; both 0 for feat. */
  readonly correct: number;
  readonly labelled: number;
}

export type Tallies = Readonly<Record<LossName, Tally>>;

/** What one optimizer step came to. */
export interface StepResult {
  /** Σ weight × loss. */
  readonly loss: number;
  /** Mean of each loss that is on, without its weight; 0 where a batch had no label. */
  readonly losses: Readonly<Partial<Record<LossName, number>>>;
  /** Norm of the gradient before clipping. */
  readonly gradNorm: number;
}

export interface StepOptions {
  /** Optimizer step, counted from 0; keys the dropout together with the seed. */
  readonly step: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly weights: LossWeights;
}

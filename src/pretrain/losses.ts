import type { LossName } from '../config/tasks.js';
import { lossNames } from '../config/tasks.js';
import { recordOf } from '../records.js';
import type * as step from '../step/losses.js';

export { lossNames, type LossName };
export type { Tally } from '../step/losses.js';

/** Weight of each of the six losses in the total. 0 turns a loss off; the optimizer then does not change its head. */
export type LossWeights = step.LossWeights<LossName>;
export type Tallies = step.Tallies<LossName>;
export type StepResult = step.StepResult<LossName>;
export type StepOptions = step.StepOptions<LossName>;

/** The paper's total: the plain sum of all six. */
export const plainSum: LossWeights = recordOf(lossNames, () => 1);

/** One loss with weight 1, the others off. */
export const onlyLoss = (loss: LossName): LossWeights => recordOf(lossNames, (name) => (name === loss ? 1 : 0));

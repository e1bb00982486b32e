import type { Batch } from '../data/batches/batch.js';
import type { ParameterGroup } from '../model/parameters.js';
import { lossNames, type LossName, type LossWeights, type StepResult, type Tallies } from '../pretrain/losses.js';
import type { Counts } from './modelState.js';

/** What each loss of a batch is divided by: its labels, or the real objects. */
export function labelCounts(batch: Batch): Counts {
  const objects = batch.objects.labels.length;
  return {
    maskedLm: batch.maskedTokens.rows.length,
    matched: batch.size,
    obj: objects,
    attr: objects,
    feat: objects,
    qa: batch.answers.reduce((n, answer) => n + (answer >= 0 ? 1 : 0), 0),
  };
}

export function addCounts(all: readonly Counts[]): Counts {
  return Object.fromEntries(lossNames.map((name) => [name, all.reduce((n, c) => n + c[name], 0)])) as Counts;
}

/** The object losses are multiplied by 1 over the share of masked objects (the original's `visual_loss_normalizer`). */
function normalizer(name: LossName, visualLossNormalizer: number): number {
  return name === 'obj' || name === 'attr' || name === 'feat' ? visualLossNormalizer : 1;
}

/** d total / d (sum of a loss), by slot. A loss without a label in the batch has scale and loss 0, not NaN. */
export function lossScale(weights: LossWeights, counts: Counts, visualLossNormalizer: number): number[] {
  return lossNames.map((name) => (weights[name] * normalizer(name, visualLossNormalizer)) / Math.max(1, counts[name]));
}

/** Mean of each loss that is on, without its weight, and the weighted sum of them. */
export function meanLosses(
  tallies: Tallies,
  weights: LossWeights,
  visualLossNormalizer: number,
): Pick<StepResult, 'losses'> & { readonly total: number } {
  const losses: Partial<Record<LossName, number>> = {};
  let total = 0;
  for (const name of lossNames) {
    if (weights[name] === 0) continue;
    const { lossSum, count } = tallies[name];
    const loss = (lossSum * normalizer(name, visualLossNormalizer)) / Math.max(1, count);
    losses[name] = loss;
    total += weights[name] * loss;
  }
  return { total, losses };
}

/** Parameters that some loss which is on trains. */
export function activeGroups(weights: LossWeights): ReadonlySet<ParameterGroup> {
  const groups = new Set<ParameterGroup>(['encoder']);
  if (weights.matched || weights.qa) groups.add('pooler');
  if (weights.obj || weights.attr || weights.feat) groups.add('objects');
  for (const name of lossNames) if (weights[name]) groups.add(name);
  return groups;
}

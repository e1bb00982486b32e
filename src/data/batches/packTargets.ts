import type { Batch } from './batch.js';

/** A right answer of a question, by its row of the answer head. */
export interface Target {
  readonly id: number;
  /** The score of the answer, from 0 to 1. */
  readonly score: number;
}

type Targets = Required<Pick<Batch, 'targetOffsets' | 'targetIds' | 'targetScores' | 'targetLabels'>>;

/**
 * Makes the target fields of a batch from the targets of some examples. An empty list means that no right answer is known.
 * @param none the label of an example with an empty list
 */
export function packTargets(targets: readonly (readonly Target[])[], none = -1): Targets {
  const all = targets.flat();
  const targetOffsets = new Int32Array(targets.length + 1);
  targets.forEach((own, e) => (targetOffsets[e + 1] = targetOffsets[e] + own.length));
  return {
    targetOffsets,
    targetIds: Int32Array.from(all, ({ id }) => id),
    targetScores: Float32Array.from(all, ({ score }) => score),
    targetLabels: Int32Array.from(targets, (own) => bestOf(own, none)),
  };
}

/** The first answer with the highest score. */
function bestOf(targets: readonly Target[], none: number): number {
  return targets.reduce((best, target) => (target.score > best.score ? target : best), { id: none, score: 0 }).id;
}

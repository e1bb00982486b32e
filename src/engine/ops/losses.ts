import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';

/** Where a loss leaves its sums, and which scale of the step record its gradient takes. */
export interface LossSlot {
  /** [4]: Σ weight × loss, right arg-maxes, labels, unused. Added to, in order with the other ops. */
  readonly tally: Tensor;
  readonly slot: number;
}

export interface CrossEntropyTargets {
  /** [rows] i32; outside [0, classes): ignored. */
  readonly labels: Tensor;
  /** [rows] f32; default 1. */
  readonly weights?: Tensor;
  /** Columns of the logits that are classes, the first ones; default all. The others get gradient 0. */
  readonly classes?: number;
}

/**
 * Σ over labelled rows of weight × cross-entropy of softmax(logits) [rows, width]. The probabilities are never stored.
 * The backward pass turns `logits` into their gradient in place: they must be the output of the op before.
 * @returns arg-max of each row, [rows] i32
 */
export function softmaxCrossEntropy(
  tape: Tape,
  rows: Rows,
  logits: Tensor,
  { labels, weights, classes = logits.shape[1] }: CrossEntropyTargets,
  { tally, slot }: LossSlot,
): Tensor {
  const width = logits.shape[1];
  checkShape('softmaxCrossEntropy', 'labels', labels, [rows.capacity], 'i32');
  const logSumExp = tape.activation([rows.capacity], 'f32');
  const predictions = tape.activation([rows.capacity], 'i32');
  const kept = [logSumExp, predictions];
  const forward = (rowLoss: Tensor): void => {
    const args = [rows, classes, width, logits, weights ?? null, labels, ...kept, rowLoss, tally];
    tape.engine.run('softmaxCrossEntropyForward', args);
  };
  tape.temporary([rows.capacity], forward, 'f32');
  tape.recordLoss(logits, () => {
    const args = [rows, classes, width, slot, logits, weights ?? null, labels, logSumExp];
    tape.engine.run('softmaxCrossEntropyBackward', args);
  });
  return predictions;
}

/** Σ over rows of the mean over the width of smooth L1 (beta 1) of prediction - target, both [rows, width]. In place as above. */
export function smoothL1(tape: Tape, rows: Rows, prediction: Tensor, target: Tensor, { tally, slot }: LossSlot): void {
  const width = prediction.shape[1];
  checkShape('smoothL1', 'target', target, [rows.capacity, width], 'f32');
  const forward = (rowLoss: Tensor): void => {
    tape.engine.run('smoothL1Forward', [rows, width, prediction, target, rowLoss, tally]);
  };
  tape.temporary([rows.capacity], forward, 'f32');
  tape.recordLoss(prediction, () => {
    tape.engine.run('smoothL1Backward', [rows, width, slot, prediction, target]);
  });
}

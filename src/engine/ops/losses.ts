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
}

/**
 * Σ over labelled rows of weight × cross-entropy of softmax(logits) [rows, classes]. The probabilities are never stored.
 * The backward pass turns `logits` into their gradient in place: they must be the output of the op before.
 * @returns arg-max of each row, [rows] i32
 */
export function softmaxCrossEntropy(
  tape: Tape,
  rows: Rows,
  logits: Tensor,
  { labels, weights }: CrossEntropyTargets,
  { tally, slot }: LossSlot,
): Tensor {
  const classes = logits.shape[1];
  checkShape('softmaxCrossEntropy', 'labels', labels, [rows.capacity], 'i32');
  const logSumExp = tape.activation([rows.capacity], 'f32');
  const predictions = tape.activation([rows.capacity], 'i32');
  const kept = [logSumExp, predictions];
  const forward = (rowLoss: Tensor): void => {
    const args = [rows, classes, logits, weights ?? null, labels, ...kept, rowLoss, tally];
    tape.engine.run('softmaxCrossEntropyForward', args);
  };
  tape.temporary([rows.capacity], forward, 'f32');
  tape.recordLoss(logits, () => {
    tape.engine.run('softmaxCrossEntropyBackward', [rows, classes, slot, logits, weights ?? null, labels, logSumExp]);
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

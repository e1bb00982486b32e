import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, rowBlock, type Tensor } from '../tensor.js';

/** Where a loss leaves its sums, and which scale of the step record its gradient takes. */
export interface LossSlot {
  /** [4]: Σ weight × loss, right arg-maxes (or their scores), labels, unused. Added to, in order with the other ops. */
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

/**
 * Scores in [0, 1] of a few classes of each row, all others 0, as compressed sparse rows: a batch uploads 8 bytes an
 * entry, and 4 a row. Of two entries with one class the scores are added; a class outside [0, classes) is ignored.
 */
export interface SoftTargets {
  /** [rows + 1] i32: the entries of row r are offsets[r] to offsets[r + 1]; past the last active row nothing is read. */
  readonly offsets: Tensor;
  /** [capacity] i32: the class of each entry. The capacity is at least 1, also where there is no entry. */
  readonly ids: Tensor;
  /** [capacity] f32: its score. */
  readonly scores: Tensor;
  /** Columns of the logits that are classes, the first ones; default all. The others get gradient 0. */
  readonly classes?: number | undefined;
}

/**
 * Σ over rows and classes of binary cross-entropy of sigmoid(logits) [rows, width] with the targets: what fine-tuning on
 * VQA and GQA minimizes (the original takes PyTorch's BCE-with-logits mean and multiplies by the number of answers: a sum
 * over answers, a mean over the batch; the mean is in the scale of the slot). Every active row counts as labelled, also
 * one without targets; its "correct" is the target of its arg-max. The backward pass is in place, as above.
 * @returns arg-max of each row, [rows] i32
 */
export function sigmoidCrossEntropy(
  tape: Tape,
  rows: Rows,
  logits: Tensor,
  { offsets, ids, scores, classes = logits.shape[1] }: SoftTargets,
  { tally, slot }: LossSlot,
): Tensor {
  const width = logits.shape[1];
  const [entries] = ids.shape;
  checkShape('sigmoidCrossEntropy', 'offsets', offsets, [rows.capacity + 1], 'i32');
  checkShape('sigmoidCrossEntropy', 'ids', ids, [entries], 'i32');
  checkShape('sigmoidCrossEntropy', 'scores', scores, [entries], 'f32');
  const targets = [entries, offsets, ids, scores];
  const predictions = tape.activation([rows.capacity], 'i32');
  const forward = (rowSums: Tensor): void => {
    const [rowScore, rowLoss] = [rowBlock(rowSums, 0, rows.capacity), rowBlock(rowSums, rows.capacity, rows.capacity)];
    const args = [rows, classes, width, logits, ...targets, predictions, rowScore, rowLoss, tally];
    tape.engine.run('sigmoidCrossEntropyForward', args);
  };
  tape.temporary([2 * rows.capacity], forward, 'f32');
  tape.recordLoss(logits, () => {
    tape.engine.run('sigmoidCrossEntropyBackward', [rows, classes, width, slot, logits, ...targets]);
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

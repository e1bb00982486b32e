import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, rowBlock, type Tensor } from '../tensor.js';

/** Where a loss adds its sums, and which scale of the step record its gradient uses. */
export interface LossSlot {
  /** [4]: Σ weight × loss, right arg-maxes (or their scores), labels, unused. The sums are added to it. */
  readonly tally: Tensor;
  readonly slot: number;
}

export interface CrossEntropyTargets {
  /** [rows] i32; a label outside [0, classes) means that the row has no label. */
  readonly labels: Tensor;
  /** [rows] f32; default 1. */
  readonly weights?: Tensor;
  /** How many columns of the logits are classes, from the first on; default all. The others get gradient 0. */
  readonly classes?: number;
}

/**
 * Σ over labelled rows of weight × cross-entropy of softmax(logits) [rows, width]. The probabilities are never stored.
 * The backward pass overwrites `logits` with their gradient, so `logits` must be the output of the previous op.
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
 * Scores in [0, 1] of a few classes of each row; all other classes have score 0. They are stored as compressed sparse
 * rows: a batch uploads 8 bytes for each entry and 4 for each row. The scores of two entries with the same class are
 * added. A class outside [0, classes) is ignored.
 */
export interface SoftTargets {
  /**
   * [rows + 1] i32: row r has the entries offsets[r] to offsets[r + 1]. Rows after the last active row are not read.
   */
  readonly offsets: Tensor;
  /** [capacity] i32: the class of each entry. The capacity is at least 1, even if there is no entry. */
  readonly ids: Tensor;
  /** [capacity] f32: its score. */
  readonly scores: Tensor;
  /** How many columns of the logits are classes, from the first on; default all. The others get gradient 0. */
  readonly classes?: number | undefined;
}

/**
 * Σ over rows and classes of the binary cross-entropy of sigmoid(logits) [rows, width] with the targets: the loss of
 * fine-tuning on VQA and GQA. (The original multiplies PyTorch's mean of BCE-with-logits by the number of answers. This
 * is a sum over answers and a mean over the batch. Here, the scale of the slot turns the sum into this mean.) Every
 * active row counts as labelled, even a row without targets. Its score in the sums is the target of its arg-max. The
 * backward pass overwrites `logits` with their gradient.
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

/**
 * Σ over rows of the mean over the width of smooth L1 (beta 1) of prediction - target, both [rows, width]. Overwrites
 * `prediction`.
 */
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

/** Softmax cross-entropy, sigmoid cross-entropy and smooth L1, in float64. */
import { abs, exp, log, log1p, max, min } from '../fastMath.js';

type Vector = ArrayLike<number>;

export interface LossShape {
  readonly active: readonly number[];
  readonly capacity: number;
  /** Number of columns of a row. */
  readonly width: number;
  /** Number of columns that are classes, from the first on; default: all. */
  readonly classes?: number;
}

export interface CrossEntropy {
  readonly logSumExp: Float64Array;
  /** The class with the largest logit; the first one if several are equal. */
  readonly predictions: Int32Array;
  readonly rowLoss: Float64Array;
  readonly lossSum: number;
  readonly correct: number;
  readonly labelled: number;
}

function logSumExpOf(logits: Vector, first: number, classes: number): number {
  let largest = -Infinity;
  for (let c = 0; c < classes; c++) largest = max(largest, logits[first + c]);
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += exp(logits[first + c] - largest);
  return largest + log(sum);
}

/** Labels outside [0, classes) are ignored. */
export function crossEntropyForward(
  s: LossShape,
  logits: Vector,
  labels: Vector,
  weights: Vector | null,
): CrossEntropy {
  const logSumExp = new Float64Array(s.capacity);
  const predictions = new Int32Array(s.capacity);
  const rowLoss = new Float64Array(s.capacity);
  const { classes = s.width } = s;
  let [lossSum, correct, labelled] = [0, 0, 0];
  for (const row of s.active) {
    const first = row * s.width;
    logSumExp[row] = logSumExpOf(logits, first, classes);
    for (let c = 1; c < classes; c++) if (logits[first + c] > logits[first + predictions[row]]) predictions[row] = c;
    const label = labels[row];
    if (label < 0 || label >= classes) continue;
    rowLoss[row] = (weights ? weights[row] : 1) * (logSumExp[row] - logits[first + label]);
    lossSum += rowLoss[row];
    correct += predictions[row] === label ? 1 : 0;
    labelled += 1;
  }
  return { logSumExp, predictions, rowLoss, lossSum, correct, labelled };
}

/** scale · weight · (softmax - onehot). */
export function crossEntropyBackward(
  s: LossShape,
  logits: Vector,
  labels: Vector,
  weights: Vector | null,
  scale: number,
): Float64Array {
  const { classes = s.width } = s;
  const gradient = new Float64Array(s.capacity * s.width);
  for (const row of s.active) {
    const label = labels[row];
    if (label < 0 || label >= classes) continue;
    const first = row * s.width;
    const logSumExp = logSumExpOf(logits, first, classes);
    const factor = scale * (weights ? weights[row] : 1);
    for (let c = 0; c < classes; c++)
      gradient[first + c] = factor * (exp(logits[first + c] - logSumExp) - (c === label ? 1 : 0));
  }
  return gradient;
}

/** Compressed sparse rows: class and score of each entry. */
export interface SoftTargets {
  readonly offsets: Vector;
  readonly ids: Vector;
  readonly scores: Vector;
}

/** The targets of one row, [classes]; scores of one class are added, classes outside are ignored. */
function targetsOf({ offsets, ids, scores }: SoftTargets, row: number, classes: number): Float64Array {
  const targets = new Float64Array(classes);
  for (let i = offsets[row]; i < offsets[row + 1]; i++)
    if (ids[i] >= 0 && ids[i] < classes) targets[ids[i]] += scores[i];
  return targets;
}

export interface SigmoidCrossEntropy {
  /** The class with the largest logit; the first one if several are equal. */
  readonly predictions: Int32Array;
  /** The target of the predicted class. */
  readonly rowScore: Float64Array;
  readonly rowLoss: Float64Array;
}

/** -t log σ(l) - (1 - t) log(1 - σ(l)), summed over the classes of each row. */
export function sigmoidForward(s: LossShape, logits: Vector, soft: SoftTargets): SigmoidCrossEntropy {
  const predictions = new Int32Array(s.capacity);
  const rowScore = new Float64Array(s.capacity);
  const rowLoss = new Float64Array(s.capacity);
  const { classes = s.width } = s;
  for (const row of s.active) {
    const first = row * s.width;
    const targets = targetsOf(soft, row, classes);
    for (let c = 0; c < classes; c++) {
      const l = logits[first + c];
      // log(1 + exp(x)) without overflow; t log σ(l) is -t times that of -l.
      const softplus = (x: number): number => max(x, 0) + log1p(exp(-abs(x)));
      rowLoss[row] += targets[c] * softplus(-l) + (1 - targets[c]) * softplus(l);
      if (l > logits[first + predictions[row]]) predictions[row] = c;
    }
    rowScore[row] = targets[predictions[row]];
  }
  return { predictions, rowScore, rowLoss };
}

/** scale · (σ(l) - t). */
export function sigmoidBackward(s: LossShape, logits: Vector, soft: SoftTargets, scale: number): Float64Array {
  const { classes = s.width } = s;
  const gradient = new Float64Array(s.capacity * s.width);
  for (const row of s.active) {
    const targets = targetsOf(soft, row, classes);
    for (let c = 0; c < classes; c++) {
      const at = row * s.width + c;
      gradient[at] = scale * (1 / (1 + exp(-logits[at])) - targets[c]);
    }
  }
  return gradient;
}

/** Loss of each row: the mean over the width of d²/2 where |d| < 1, else |d| - 1/2. */
export function smoothL1Forward(s: LossShape, prediction: Vector, wanted: Vector): Float64Array {
  const rowLoss = new Float64Array(s.capacity);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) {
      const d = abs(prediction[row * s.width + c] - wanted[row * s.width + c]);
      rowLoss[row] += (d < 1 ? (d * d) / 2 : d - 0.5) / s.width;
    }
  return rowLoss;
}

export function smoothL1Backward(s: LossShape, prediction: Vector, wanted: Vector, scale: number): Float64Array {
  const gradient = new Float64Array(s.capacity * s.width);
  for (const row of s.active)
    for (let c = 0; c < s.width; c++) {
      const d = prediction[row * s.width + c] - wanted[row * s.width + c];
      gradient[row * s.width + c] = (scale * max(-1, min(1, d))) / s.width;
    }
  return gradient;
}

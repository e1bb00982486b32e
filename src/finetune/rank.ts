import type { AnswerLoss } from './objective.js';
import type { RankedAnswer } from './predictions/index.js';

/**
 * Returns the answers with the highest logits, best first, with their probabilities. After training with the scores of all
 * answers (`soft`) each probability is the sigmoid of a logit; otherwise it is the softmax over all answers.
 */
export function rankAnswers(
  logits: Float32Array,
  answers: readonly string[],
  { loss, top }: { readonly loss: AnswerLoss; readonly top: number },
): RankedAnswer[] {
  const best = bestRows(logits, Math.min(top, logits.length));
  const probability = probabilityOf(logits, loss);
  return best.map((row) => ({ answer: answers[row], probability: probability(logits[row]) }));
}

/** Returns the function that converts a logit to a probability. */
export const probabilityOf = (logits: Float32Array, loss: AnswerLoss): ((logit: number) => number) =>
  loss === 'soft' ? sigmoid : softmaxOf(logits);

/** Returns the row with the highest logit, and the first one if several are equal. */
export function bestRow(logits: Float32Array): number {
  let best = 0;
  for (let row = 1; row < logits.length; row++) if (logits[row] > logits[best]) best = row;
  return best;
}

function bestRows(logits: Float32Array, count: number): number[] {
  if (count === 1) return [bestRow(logits)];
  const rows = Array.from(logits, (_, row) => row);
  return rows.sort((a, b) => logits[b] - logits[a] || a - b).slice(0, count);
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function softmaxOf(logits: Float32Array): (logit: number) => number {
  const most = logits[bestRow(logits)];
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return (logit) => Math.exp(logit - most) / sum;
}

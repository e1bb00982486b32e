import type { AnswerScore } from '../questions/question.js';
import { normalizeVqaAnswer, trimVqaAnswer } from './vqaAnswer.js';

/** An answer that this many of the other annotators gave is fully right. */
const enough = 3;

/** Mean over the annotators, each left out once, of min(1, equal answers among the others / 3). */
function accuracyAmong(answers: readonly string[], said: string): number {
  const equal = answers.reduce((count, answer) => count + (answer === said ? 1 : 0), 0);
  let sum = 0;
  for (const answer of answers) sum += Math.min(1, (equal - (answer === said ? 1 : 0)) / enough);
  return sum / answers.length;
}

/**
 * The official VQA accuracy of an answer, 0 to 1, from the answers of the annotators (ten in VQA). When all annotators
 * agree, the official program compares the answers as they are; otherwise it compares them normalised.
 * @param annotators not empty
 */
export function annotatorAccuracy(annotators: readonly string[], said: string): number {
  const given = annotators.map(trimVqaAnswer);
  if (given.every((answer) => answer === given[0])) return accuracyAmong(given, trimVqaAnswer(said));
  return accuracyAmong(given.map(normalizeVqaAnswer), normalizeVqaAnswer(said));
}

/**
 * Labels to train with: the different answers of the annotators, normalised, in the order of their first appearance, with
 * the accuracy of each. Of ten annotators one, two, three and more equal answers make 0.3, 0.6, 0.9 and 1.
 * @param annotators not empty
 */
export function softLabels(annotators: readonly string[]): AnswerScore[] {
  const given = annotators.map(normalizeVqaAnswer);
  return [...new Set(given)].map((answer) => ({ answer, score: accuracyAmong(given, answer) }));
}

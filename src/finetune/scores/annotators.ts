import type { AnswerScore } from '../questions/question.js';
import { normalizeVqaAnswer, trimVqaAnswer } from './vqaAnswer.js';

/** If this many other annotators gave the same answer, its score is 1. */
const enough = 3;

/** For each annotator, min(1, number of equal answers of the other annotators / 3); returns the mean of these values. */
function accuracyAmong(answers: readonly string[], said: string): number {
  const equal = answers.reduce((count, answer) => count + (answer === said ? 1 : 0), 0);
  let sum = 0;
  for (const answer of answers) sum += Math.min(1, (equal - (answer === said ? 1 : 0)) / enough);
  return sum / answers.length;
}

/**
 * The official VQA accuracy of an answer, 0 to 1, from the answers of the annotators (ten in VQA). If all annotators gave
 * the same answer, the official program compares the answers unchanged; otherwise it normalises them first.
 * @param annotators not empty
 */
export function annotatorAccuracy(annotators: readonly string[], said: string): number {
  const given = annotators.map(trimVqaAnswer);
  if (given.every((answer) => answer === given[0])) return accuracyAmong(given, trimVqaAnswer(said));
  return accuracyAmong(given.map(normalizeVqaAnswer), normalizeVqaAnswer(said));
}

/**
 * The labels for training: the different answers of the annotators, normalised, in the order of their first occurrence,
 * with the accuracy of each. With ten annotators one, two, three and more equal answers give 0.3, 0.6, 0.9 and 1.
 * @param annotators not empty
 */
export function softLabels(annotators: readonly string[]): AnswerScore[] {
  const given = annotators.map(normalizeVqaAnswer);
  return [...new Set(given)].map((answer) => ({ answer, score: accuracyAmong(given, answer) }));
}

import type { AssemblyData } from './batchJob.js';
import type { NamedData } from './batchMaker.js';
import type { Batch } from './batch.js';

/** The scores of a labelled question, from which predictions are scored. */
export interface Question {
  /** The data set of the question, which is the name of the sentence set (`vqa`, `gqa`, `visual7w`). */
  readonly set: string;
  /** Score of each answer of the label, by row of the answer table. Every other answer has score 0. */
  readonly scores: ReadonlyMap<number, number>;
}

/** A batch of questions. */
export interface QuestionBatch extends Batch {
  /** The question of each sample, to score predictions; absent if the source has none. */
  readonly questions?: readonly Question[] | undefined;
}

/**
 * Whether a sample counts for the accuracy of question answering. As in the original, every labelled question counts. If
 * none of its answers is in the table, every prediction for it is wrong.
 */
export function isQuestion(data: NamedData, sample: number): boolean {
  if (data.questionSetOf) return data.questionSetOf(sample) !== undefined;
  return data.answerOffsets[sample + 1] > data.answerOffsets[sample];
}

/** The questions of some samples; undefined if the samples have no data sets. */
export function questionsOf(data: NamedData, samples: Uint32Array): Question[] | undefined {
  if (!data.questionSetOf) return undefined;
  return Array.from(samples, (sample) => ({ set: data.questionSetOf?.(sample) ?? '', scores: scoresOf(data, sample) }));
}

/**
 * Number of significant digits of float32. Scores are stored in float32, but in the files they have few digits, such as
 * 0.3.
 */
const digits = 7;

function scoresOf({ answerIds, answerScores, answerOffsets }: AssemblyData, sample: number): Map<number, number> {
  const scores = new Map<number, number>();
  for (let at = answerOffsets[sample]; at < answerOffsets[sample + 1]; at++)
    scores.set(answerIds[at], Number(answerScores[at].toPrecision(digits)));
  return scores;
}

import type { AssemblyData } from './batchJob.js';
import type { NamedData } from './batchMaker.js';
import type { Batch } from './batch.js';

/** A labelled question, as its answer is scored. */
export interface Question {
  /** Its data set: the name of the sentence set (`vqa`, `gqa`, `visual7w`). */
  readonly set: string;
  /** Score of each answer of its label, by row of the answer table. Every other answer scores 0. */
  readonly scores: ReadonlyMap<number, number>;
}

/** A batch of questions. */
export interface QuestionBatch extends Batch {
  /** The question of each sample, to score predictions with; absent where a source has none. */
  readonly questions?: readonly Question[] | undefined;
}

/**
 * Whether a sample counts for the accuracy of question answering. As in the original, every labelled question does, also one
 * with no answer in the table: no prediction of it is right.
 */
export function isQuestion(data: NamedData, sample: number): boolean {
  if (data.questionSetOf) return data.questionSetOf(sample) !== undefined;
  return data.answerOffsets[sample + 1] > data.answerOffsets[sample];
}

/** The questions of some samples; undefined where they have no data sets. */
export function questionsOf(data: NamedData, samples: Uint32Array): Question[] | undefined {
  if (!data.questionSetOf) return undefined;
  return Array.from(samples, (sample) => ({ set: data.questionSetOf?.(sample) ?? '', scores: scoresOf(data, sample) }));
}

/** Digits that float32 keeps. Scores are kept in float32 but were written with few digits, such as 0.3. */
const digits = 7;

function scoresOf({ answerIds, answerScores, answerOffsets }: AssemblyData, sample: number): Map<number, number> {
  const scores = new Map<number, number>();
  for (let at = answerOffsets[sample]; at < answerOffsets[sample + 1]; at++)
    scores.set(answerIds[at], Number(answerScores[at].toPrecision(digits)));
  return scores;
}

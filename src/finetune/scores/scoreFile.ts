import { readPredictions } from '../predictions/index.js';
import { fileNames, readQuestions } from '../questions/index.js';
import type { QuestionTask } from '../questions/index.js';
import { createScorer } from './score.js';
import type { MissingPredictions, Score } from './score.js';

export interface ScoreFileOptions {
  readonly task: QuestionTask;
  /** Files with labels: questions in any form that `readQuestions` can read, or official VQA annotations alone. */
  readonly labels: string | readonly string[];
  /** A prediction file in the official form. */
  readonly predictions: string;
  readonly missing?: MissingPredictions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Scores a prediction file of any model, as the official programs do.
 * @throws BAD_DATA if labels or predictions are missing or occur twice; the errors of reading
 */
export async function scoreFile({
  task,
  labels,
  predictions: file,
  missing,
  signal,
}: ScoreFileOptions): Promise<Score> {
  const predictions = await readPredictions(task, file, signal);
  const labelsName = fileNames(labels).join(', ');
  const scorer = createScorer({ task, predictions, missing, labelsName, predictionsName: file });
  await readQuestions({ task, files: labels, labelsOnly: true, signal }, scorer.add);
  return scorer.result();
}

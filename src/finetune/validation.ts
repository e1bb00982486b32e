import type { Batch } from '../data/batches/batch.js';
import { addTallies, type MeanLosses, type Tallies } from '../step/losses.js';
import { gatherTurns, inStep, type Validation, type ValidationControls } from '../train/index.js';
import type { Finetuner } from './finetuner.js';
import { answerLoss, answerWeights, type AnswerLossName } from './objective.js';
import type { QuestionSource } from './questionSource.js';

/** The part of a model that validation uses. */
export interface QuestionModel {
  /** Runs forward without dropout. Returns the sums of the loss, and the arg-max of each example. */
  answer(batch: Batch): Promise<{ readonly tallies: Tallies<AnswerLossName>; readonly predictions: Int32Array }>;
  losses: Finetuner['losses'];
}

/**
 * Computes loss and score of the validation questions, without dropout. The score is the mean, over all questions, of the
 * score that the label gives to the predicted answer. Questions without features count as wrong.
 * @returns undefined if the split is empty or the signal was aborted
 */
export async function validate(
  model: QuestionModel,
  source: Pick<QuestionSource, 'validate' | 'release'>,
  withoutFeatures: number,
  { signal, progress, ranks }: ValidationControls,
): Promise<Validation<AnswerLossName> | undefined> {
  let batches = 0;
  const own: { readonly tallies: Tallies<AnswerLossName>; readonly scores: readonly number[] }[] = [];
  let pending: { readonly batch: Batch; readonly result: ReturnType<QuestionModel['answer']> } | undefined;
  const settle = async (): Promise<void> => {
    if (!pending) return;
    const { batch } = pending;
    const { tallies, predictions } = await pending.result;
    own.push({ tallies, scores: scoresOf(batch, predictions) });
    source.release(batch);
    progress?.(++batches);
  };
  for await (const batch of inStep(ranks, source.validate())) {
    if (signal?.aborted) break;
    const result = model.answer(batch);
    result.catch(() => undefined);
    await settle();
    pending = { batch, result };
  }
  await settle();
  if (signal?.aborted) return undefined;
  let sum: Tallies<AnswerLossName> | undefined;
  let [questions, right] = [withoutFeatures, 0];
  for (const { tallies, scores } of await gatherTurns(ranks, 'answers', own)) {
    sum = sum ? addTallies([answerLoss], sum, tallies) : tallies;
    questions += scores.length;
    right += scores.reduce((a, b) => a + b, 0);
  }
  if (!sum) return undefined;
  const { total, losses } = model.losses(sum, answerWeights);
  const score = right / questions;
  const accuracy: MeanLosses<AnswerLossName> = { [answerLoss]: score };
  return { loss: total, losses, accuracy, score };
}

/** For each example of a batch, the score that the label gives to the predicted answer. */
function scoresOf({ targetOffsets, targetIds, targetScores }: Batch, predictions: Int32Array): number[] {
  if (!targetOffsets || !targetIds || !targetScores) return [];
  return Array.from({ length: targetOffsets.length - 1 }, (_, e) => {
    for (let i = targetOffsets[e]; i < targetOffsets[e + 1]; i++)
      if (targetIds[i] === predictions[e]) return targetScores[i];
    return 0;
  });
}

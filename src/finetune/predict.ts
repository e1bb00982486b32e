import { createHash } from 'node:crypto';
import type { FinetuneTask } from '../config/finetuneConfig.js';
import type { NamedData } from '../data/batches/batchMaker.js';
import { LxmertError } from '../errors.js';
import { demandSameFacts, inTurns, type Facts, type TrainRanks } from '../train/index.js';
import { withAsked, type AskedRequest } from './asked.js';
import type { InferenceModel } from './inference.js';
import type { Prediction } from './predictions/index.js';
import type { QuestionData } from './questionData.js';
import { readQuestions } from './questions/index.js';
import { questionBatches } from './questionSource.js';
import { bestRow, rankAnswers } from './rank.js';
import { createScorer, type Score } from './scores/index.js';

export interface PredictRequest extends AskedRequest {
  readonly task: FinetuneTask;
  /** Questions that the device computes at once; default 32. */
  readonly batchSize?: number | undefined;
  /** Return this many answers for each question, with their probabilities. */
  readonly top?: number | undefined;
  readonly workers?: number | undefined;
  /** Called with the number of questions that are done, and the number of all questions. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
  /** The processes that share the questions. Rank 0 receives all predictions; the other ranks receive none. */
  readonly ranks?: TrainRanks | undefined;
}

/** Predictions of some splits. */
export interface Predicted {
  readonly predictions: readonly Prediction[];
  /** Number of questions in the files, at most the limit for each split. */
  readonly questions: number;
  /** Questions without a prediction, because a picture has no features; and the id of one such picture. */
  readonly withoutFeatures: number;
  readonly missingImage?: string | undefined;
  /** The files of questions, one entry for each split. */
  readonly texts: readonly string[];
  readonly questionsPerSecond: number;
}

/**
 * Answers all questions of some splits.
 * @throws BAD_CHECKPOINT if the checkpoint is for another task, width or number of pictures; the errors of opening
 *   data; the signal's reason
 */
export async function predict(request: PredictRequest): Promise<Predicted> {
  return withAsked(request, async ({ model, data, answers }) => {
    demandUniqueIds(data);
    if (request.ranks) await demandSameFacts(request.ranks, await factsOf(request, model, data));
    const start = performance.now();
    const predictions = await predictAll(model, data, answers, request);
    const { asked, withoutFeatures, missingImage } = data.report;
    const questionsPerSecond = (1000 * data.size) / Math.max(performance.now() - start, 0.001);
    return { predictions, questions: asked, withoutFeatures, missingImage, texts: data.texts, questionsPerSecond };
  });
}

/** Checks that no id is in two splits. The ids of one file have been checked before. */
function demandUniqueIds(data: QuestionData): void {
  const { size, name, texts } = data;
  const ids = new Set<string>();
  for (let sample = 0; sample < size; sample++) {
    const id = data.sampleId(sample);
    if (ids.has(id))
      throw new LxmertError(
        'BAD_DATA',
        `the id ${id} is in two of the splits ${name} (${texts.join(', ')}), so a prediction would belong to both; ` +
          'give one split at a time',
      );
    ids.add(id);
  }
}

async function predictAll(
  model: InferenceModel,
  data: NamedData,
  answers: readonly string[],
  { batchSize = defaultBatchSize, workers, top, signal, progress, ranks }: PredictRequest,
): Promise<readonly Prediction[]> {
  const { rank, ranks: count } = ranks ?? { rank: 0, ranks: 1 };
  const { batches, release } = questionBatches(data, { batchSize, workers, share: { rank, ranks: count } });
  /** By batch. */
  const own: Prediction[][] = [];
  const take = (logits: Float32Array): void => {
    const width = answers.length;
    const first = (own.length * count + rank) * batchSize;
    const predictions: Prediction[] = [];
    for (let start = 0; start < logits.length; start += width) {
      const own = logits.subarray(start, start + width);
      const id = data.sampleId(first + predictions.length);
      const ranked = top === undefined ? undefined : rankAnswers(own, answers, { loss: model.loss, top });
      predictions.push({ id, answer: answers[bestRow(own)], ranked });
    }
    own.push(predictions);
    progress?.(Math.min((own.length - 1) * count * batchSize + predictions.length, data.size), data.size);
  };
  let settle = async (): Promise<void> => undefined;
  for await (const batch of batches) {
    signal?.throwIfAborted();
    const result = model.answer(batch);
    result.catch(() => undefined);
    await settle();
    settle = async () => {
      take(await result);
      release(batch);
    };
  }
  await settle();
  return (ranks ? inTurns(await ranks.gather('predictions', own)) : own).flat();
}

/** The values that must be the same on all ranks, by their names in messages. */
async function factsOf(
  { task, splits, limit, top, batchSize = defaultBatchSize }: PredictRequest,
  model: InferenceModel,
  data: QuestionData,
): Promise<Facts> {
  const ids = createHash('sha256');
  for (let sample = 0; sample < data.size; sample++) ids.update(`${data.sampleId(sample)}\n`);
  return {
    ...{ task, '--split': splits, '--limit': limit, '--top': top, '--batch-size': batchSize },
    'checksum of the answers': createHash('sha256').update(JSON.stringify(model.answers)).digest('hex'),
    'checksum of the weights': await model.checksum(),
    'checksum of the questions': ids.digest('hex'),
  };
}

const defaultBatchSize = 32;

/** The score of a model on some splits. */
export interface Evaluation extends Omit<Score, 'missing' | 'unknown'> {
  /** Number of questions with a picture that has no features. */
  readonly withoutFeatures: number;
}

/**
 * Scores a model on some splits as the official programs do.
 * @param skipMissing leave out questions without features; otherwise they count as wrong
 * @throws as `predict`; BAD_DATA when labels are missing
 */
export async function evaluate(
  request: PredictRequest & { readonly skipMissing?: boolean | undefined },
): Promise<{ readonly evaluation: Evaluation; readonly predicted: Predicted }> {
  const { task, limit = Infinity, skipMissing = false, signal } = request;
  const predicted = await predict({ ...request, labelled: true });
  const scorer = createScorer({
    task,
    predictions: new Map(predicted.predictions.map(({ id, answer }) => [id, answer])),
    missing: skipMissing ? 'skip' : 'wrong',
    labelsName: predicted.texts.join(', '),
  });
  for (const text of predicted.texts) {
    let asked = 0;
    await readQuestions({ task, files: text, signal }, (question) => {
      if (asked++ < limit) scorer.add(question);
    });
  }
  const { missing: withoutFeatures, unknown: _, ...score } = scorer.result();
  return { evaluation: { ...score, withoutFeatures }, predicted };
}

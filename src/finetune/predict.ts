import type { FinetuneTask } from '../config/finetuneConfig.js';
import type { NamedData } from '../data/batches/batchMaker.js';
import { LxmertError } from '../errors.js';
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
  /** Questions that the device takes at once; default 32. */
  readonly batchSize?: number | undefined;
  /** Give so many answers with their probabilities. */
  readonly top?: number | undefined;
  readonly workers?: number | undefined;
  /** Questions done so far, of so many. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

/** Predictions of some splits. */
export interface Predicted {
  readonly predictions: readonly Prediction[];
  /** Questions that the files have, up to the limit. */
  readonly questions: number;
  /** Questions without a prediction: a picture has no features, such as this one. */
  readonly withoutFeatures: number;
  readonly missingImage?: string | undefined;
  /** The files of questions, one entry a split. */
  readonly texts: readonly string[];
  readonly questionsPerSecond: number;
}

/**
 * Answers all questions of some splits.
 * @throws BAD_CHECKPOINT when the checkpoint is for another task, width or number of pictures; what opening data throws;
 *   the signal's reason
 */
export async function predict(request: PredictRequest): Promise<Predicted> {
  return withAsked(request, async ({ model, data, answers }) => {
    demandUniqueIds(data);
    const start = performance.now();
    const predictions = await predictAll(model, data, answers, request);
    const { asked, withoutFeatures, missingImage } = data.report;
    const questionsPerSecond = (1000 * data.size) / Math.max(performance.now() - start, 0.001);
    return { predictions, questions: asked, withoutFeatures, missingImage, texts: data.texts, questionsPerSecond };
  });
}

/** The files have each id once; several splits together may not. */
function demandUniqueIds(data: QuestionData): void {
  const { size, name, texts } = data;
  const ids = new Set<string>();
  for (let sample = 0; sample < size; sample++) {
    const id = data.sampleId(sample);
    if (ids.has(id))
      throw new LxmertError(
        'BAD_DATA',
        `the id ${id} is in two of the splits ${name} (${texts.join(', ')}), so a prediction would belong to both; ` +
          'take one split at a time',
      );
    ids.add(id);
  }
}

async function predictAll(
  model: InferenceModel,
  data: NamedData,
  answers: readonly string[],
  { batchSize = 32, workers, top, signal, progress }: PredictRequest,
): Promise<Prediction[]> {
  const { batches, release } = questionBatches(data, { batchSize, workers });
  const predictions: Prediction[] = [];
  const take = (logits: Float32Array): void => {
    const width = answers.length;
    for (let start = 0; start < logits.length; start += width) {
      const own = logits.subarray(start, start + width);
      const id = data.sampleId(predictions.length);
      const ranked = top === undefined ? undefined : rankAnswers(own, answers, { loss: model.loss, top });
      predictions.push({ id, answer: answers[bestRow(own)], ranked });
    }
    progress?.(predictions.length, data.size);
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
  return predictions;
}

/** The score of a model on some splits. */
export interface Evaluation extends Omit<Score, 'missing' | 'unknown'> {
  /** Questions of which a picture has no features. */
  readonly withoutFeatures: number;
}

/**
 * Scores a model on some splits as the official programs do.
 * @param skipMissing leave questions without features out; else they count as wrong
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

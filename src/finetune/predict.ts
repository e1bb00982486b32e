import { createHash } from 'node:crypto';
import type { FinetuneTask } from '../config/finetuneConfig.js';
import type { NamedData } from '../data/batches/batchMaker.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import type { EngineOptions } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { demandSameFacts, inTurns, type Facts, type TrainRanks } from '../train/index.js';
import { WordPiece } from '../text/wordPiece.js';
import { answerVocabulary } from './answers/index.js';
import { InferenceModel } from './inference.js';
import type { Prediction } from './predictions/index.js';
import { openQuestionData, type QuestionData } from './questionData.js';
import { readQuestions } from './questions/index.js';
import { questionBatches } from './questionSource.js';
import { bestRow, rankAnswers } from './rank.js';
import { createScorer, type Score } from './scores/index.js';
import type { TrainedWeightsOptions } from './trainedWeights.js';

export interface PredictRequest extends TrainedWeightsOptions {
  readonly task: FinetuneTask;
  /** A checkpoint, a run whose best checkpoint is taken, or weights of another form (`openTrainedWeights`). */
  readonly checkpoint: string;
  /** Folder with the data. */
  readonly data: string;
  readonly splits: readonly string[];
  /** Take only the first so many questions of each split. */
  readonly limit?: number | undefined;
  /** Questions that the device takes at once; default 32. */
  readonly batchSize?: number | undefined;
  /** Give so many answers with their probabilities. */
  readonly top?: number | undefined;
  readonly workers?: number | undefined;
  /** A BERT vocab.txt; the checkpoint's own, else bert-base-uncased's unless given. */
  readonly vocabulary?: string | undefined;
  readonly engine?: EngineOptions | undefined;
  /** Every question needs labels. Default: false. */
  readonly labelled?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Questions done so far, of so many. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
  /** The processes that share the questions; rank 0 receives all predictions, the other ranks none. */
  readonly ranks?: TrainRanks | undefined;
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
  const { task, checkpoint, data: dir, splits, limit, labelled, signal, engine } = request;
  const { answers: given, attentionHeads } = request;
  const model = await InferenceModel.open(checkpoint, { answers: given, attentionHeads, engine });
  const files = new FeatureFiles();
  try {
    const { answers, maxTokens } = abilities(model, task);
    const wordPiece = await WordPiece.load({ vocabFile: request.vocabulary ?? model.vocabulary });
    const where = { task, dir, splits, wordPiece, maxTokens, limit, labelled, files, signal };
    const data = await openQuestionData({ ...where, answers: answerVocabulary(answers, model.path) });
    demandFit(model, data, wordPiece);
    demandUniqueIds(data);
    if (request.ranks) await demandSameFacts(request.ranks, await factsOf(request, model, data));
    const start = performance.now();
    const predictions = await predictAll(model, data, answers, request);
    const { asked, withoutFeatures, missingImage } = data.report;
    const questionsPerSecond = (1000 * data.size) / Math.max(performance.now() - start, 0.001);
    return { predictions, questions: asked, withoutFeatures, missingImage, texts: data.texts, questionsPerSecond };
  } finally {
    await files.close();
    await model.dispose();
  }
}

/** What the model can answer. @throws BAD_CHECKPOINT */
function abilities({ answers, task: trained, heads, path }: InferenceModel, task: FinetuneTask) {
  const bad = (problem: string): LxmertError => new LxmertError('BAD_CHECKPOINT', `${path}: ${problem}`);
  if (heads.pictures === undefined) throw bad('it has no answer head; `lxmert finetune` makes one');
  if (answers === undefined)
    throw bad('no answers.json is beside it, so the rows of its answer head have no names; --answers names their list');
  if (trained && trained.task !== task) throw bad(`it was fine-tuned for ${trained.task}, not for ${task}`);
  if (task === 'nlvr2' && heads.pictures === 1)
    throw bad('it was not fine-tuned for nlvr2; `lxmert finetune nlvr2` does it');
  return { answers, maxTokens: trained?.maxTokens };
}

function demandFit(
  { config, heads, path }: InferenceModel,
  { featureDim, pictures, name, features }: QuestionData,
  { vocabSize }: WordPiece,
): void {
  const bad = (problem: string): LxmertError => new LxmertError('BAD_CHECKPOINT', `${path}: ${problem}`);
  if (featureDim !== config.visualFeatDim)
    throw bad(`it takes features of ${config.visualFeatDim} numbers; ${features.path} has ${featureDim}`);
  if (pictures !== heads.pictures)
    throw bad(`it takes ${heads.pictures} pictures a question; the questions of ${name} have ${pictures}`);
  if (vocabSize > config.vocabSize)
    throw bad(`it has ${config.vocabSize} words, the tokenizer ${vocabSize}; name its own with --vocabulary`);
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

/** What must be the same on all ranks, by the names that a message gives it. */
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

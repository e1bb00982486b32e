import type { FinetuneTask } from '../config/finetuneConfig.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import type { EngineOptions } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { WordPiece } from '../text/wordPiece.js';
import { answerVocabulary } from './answers/index.js';
import { InferenceModel } from './inference.js';
import { openQuestionData, type QuestionData } from './questionData.js';
import type { TrainedWeightsOptions } from './trainedWeights.js';

/** Describes which model is opened, and which questions it gets. */
export interface AskedRequest extends TrainedWeightsOptions {
  /** The kind of the questions. Default: the task for which the model was fine-tuned. */
  readonly task?: FinetuneTask | undefined;
  /** A checkpoint, a run (its best checkpoint is used), or weights of another form (`openTrainedWeights`). */
  readonly checkpoint: string;
  /** Folder with the data. */
  readonly data: string;
  readonly splits: readonly string[];
  /** Use only the first `limit` questions of each split. */
  readonly limit?: number | undefined;
  /**
   * A BERT vocab.txt. Default: the vocabulary of the checkpoint, or of bert-base-uncased if the checkpoint has none.
   */
  readonly vocabulary?: string | undefined;
  readonly engine?: EngineOptions | undefined;
  /** Whether every question must have labels. Default: false. */
  readonly labelled?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Asked {
  readonly model: InferenceModel;
  readonly data: QuestionData;
  /** The answer of each row of the answer head. */
  readonly answers: readonly string[];
  readonly wordPiece: WordPiece;
}

/**
 * Opens a model and questions that fit it, and closes both after `use`.
 * @throws BAD_CHECKPOINT if the checkpoint is for another task, width or number of pictures; the errors of opening
 *   data; the signal's reason
 */
export async function withAsked<T>(request: AskedRequest, use: (asked: Asked) => Promise<T>): Promise<T> {
  const { checkpoint, data: dir, splits, limit, labelled, signal, engine } = request;
  const { answers: given, attentionHeads } = request;
  const model = await InferenceModel.open(checkpoint, { answers: given, attentionHeads, engine });
  const files = new FeatureFiles();
  try {
    const { task, answers, maxTokens } = abilities(model, request.task);
    const wordPiece = await WordPiece.load({ vocabFile: request.vocabulary ?? model.vocabulary });
    const where = { task, dir, splits, wordPiece, maxTokens, limit, labelled, files, signal };
    const data = await openQuestionData({ ...where, answers: answerVocabulary(answers, model.path) });
    demandFit(model, data, wordPiece);
    return await use({ model, data, answers, wordPiece });
  } finally {
    await files.close();
    await model.dispose();
  }
}

/**
 * Checks that the model can answer questions of the task.
 * @throws BAD_CHECKPOINT; BAD_ARGUMENT if neither the request nor the model names the task
 */
function abilities({ answers, task: trained, heads, path }: InferenceModel, given: FinetuneTask | undefined) {
  const bad = (problem: string): LxmertError => new LxmertError('BAD_CHECKPOINT', `${path}: ${problem}`);
  if (heads.pictures === undefined) throw bad('it has no answer head; `lxmert finetune` makes one');
  if (answers === undefined)
    throw bad('there is no answers.json beside it; give the list of its answers with --answers');
  const task = given ?? trained?.task;
  if (task === undefined)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${path}: it does not say what it was fine-tuned for; name the kind of its questions with --task`,
    );
  if (trained && trained.task !== task) throw bad(`it was fine-tuned for ${trained.task}, not for ${task}`);
  if (task === 'nlvr2' && heads.pictures === 1)
    throw bad('it was not fine-tuned for nlvr2; do that with `lxmert finetune nlvr2`');
  return { task, answers, maxTokens: trained?.maxTokens };
}

function demandFit(
  { config, heads, path }: InferenceModel,
  { featureDim, pictures, name, features }: QuestionData,
  { vocabSize }: WordPiece,
): void {
  const bad = (problem: string): LxmertError => new LxmertError('BAD_CHECKPOINT', `${path}: ${problem}`);
  if (featureDim !== config.visualFeatDim)
    throw bad(`it needs features of ${config.visualFeatDim} numbers; those of ${features.path} have ${featureDim}`);
  if (pictures !== heads.pictures)
    throw bad(`it needs ${heads.pictures} pictures a question; the questions of ${name} have ${pictures}`);
  if (vocabSize > config.vocabSize)
    throw bad(
      `it has ${config.vocabSize} words, and the tokenizer has ${vocabSize}; give its vocabulary with --vocabulary`,
    );
}

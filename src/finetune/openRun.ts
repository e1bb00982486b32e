import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FinetuneConfig, FinetuneTask, ResolvedFinetuneConfig } from '../config/finetuneConfig.js';
import { expectation } from '../config/issues.js';
import { modelConfigSchema } from '../config/modelConfig.js';
import { withoutUndefined } from '../config/runConfig.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import { residentFeatures } from '../data/features/residentFeatures.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import { defaultReaders } from '../data/features/tablePieces.js';
import { samplesDifference, samplesIdentity } from '../data/samples/identity.js';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { counted } from '../figures.js';
import { describedModel, noteDevice } from '../step/describedModel.js';
import { WordPiece } from '../text/wordPiece.js';
import { batchShare } from '../train/index.js';
import type { RunControls, TrainObserver } from '../train/index.js';
import { answerVocabulary, readAnswerVocabulary, type AnswerVocabulary } from './answers/index.js';
import { Finetuner } from './finetuner.js';
import { initialModelConfig } from './initialWeights.js';
import { openQuestionData, type QuestionData } from './questionData.js';
import { nlvr2Answers } from './questions/index.js';
import { questionSource, type QuestionSource } from './questionSource.js';

/** The description of a run with a data folder. */
export type DescribedFinetune = FinetuneConfig & { readonly data: { readonly folder: string } };

/** Data of a fine-tuning run, opened. */
export interface OpenedQuestions {
  readonly answers: readonly string[];
  readonly pictures: 1 | 2;
  readonly source: QuestionSource;
  /** Number of validation questions that have no features. They are left out and count as wrong. */
  readonly validWithoutFeatures: number;
  /**
   * For training and for validation: how many questions there are, and how many are left out because a picture has no
   * features.
   */
  readonly coverage: readonly { readonly name: string; readonly sentences: number; readonly withoutImage: number }[];
  readonly featureDim: number;
  readonly vocabSize: number;
  /** The text of the vocabulary; absent if it is that of bert-base-uncased. */
  readonly vocabulary?: string | undefined;
  /** Features to load onto the device before the first batch is made; batches then contain only row numbers. */
  readonly table?: FeatureTable | undefined;
  /** A checksum of the training questions. */
  readonly samples: string;
  /** Describes the difference between these samples and the samples of a saved checksum; undefined if there is none. */
  readonly samplesDifference: (saved: string) => string | undefined;
  close(): Promise<void>;
}

/** Returns the answers of the head: those of NLVR2, or those of the given list, or by default those of the data folder. */
export async function openAnswers(
  task: FinetuneTask,
  { folder, answers }: { readonly folder: string; readonly answers?: string | undefined },
): Promise<AnswerVocabulary> {
  if (task === 'nlvr2') return answerVocabulary(nlvr2Answers);
  return readAnswerVocabulary(answers ?? join(folder, task));
}

/** Opens the data of a run. @throws the errors of opening; the signal's reason */
export async function openFinetuneData(
  config: DescribedFinetune,
  { observer, signal, ranks }: RunControls = {},
): Promise<OpenedQuestions> {
  const { task, data, loss, seed, batchSize, microBatchSize: partSize } = config;
  const { folder: dir, maxTokens, limit, maxMissingShare, workers } = data;
  const wordPiece = await WordPiece.load({ vocabFile: data.vocabulary });
  const answers = await openAnswers(task, data);
  const files = new FeatureFiles({ verifyReads: data.verifyReads });
  const close = () => files.close();
  const where = {
    ...{ task, dir, wordPiece, answers, maxTokens, limit, maxMissingShare, labelled: true, files, signal },
    // Resident features are on the device, so a second copy in host memory would not be used.
    inMemory: data.residentFeatures ? false : undefined,
  };
  try {
    const train = await openQuestionData({ ...where, splits: data.train });
    note('train', train, observer);
    const valid = data.valid.length > 0 ? await openQuestionData({ ...where, splits: data.valid }) : undefined;
    if (valid) {
      note('valid', valid, observer);
      demandSamePictures(train, valid);
    }
    const resident = data.residentFeatures
      ? residentFeatures(valid ? [train, valid] : [train], { workers: workers ?? defaultReaders() })
      : undefined;
    const [trainSet = train, validSet = valid] = resident?.sets ?? [];
    const identity = await samplesIdentity({ ...train, wordPiece });
    return {
      answers: answers.answers,
      pictures: train.pictures,
      source: questionSource({
        ...{ train: trainSet, valid: validSet, loss, seed, batchSize, partSize, workers },
        bucketBatches: data.bucketBatches,
        share: batchShare(config, ranks),
      }),
      validWithoutFeatures: valid?.report.withoutFeatures ?? 0,
      coverage: (valid ? [train, valid] : [train]).map(({ name, size, report }) => ({
        ...{ name, sentences: size, withoutImage: report.withoutFeatures },
      })),
      featureDim: train.featureDim,
      vocabSize: wordPiece.vocabSize,
      vocabulary: data.vocabulary === undefined ? undefined : await readText(data.vocabulary),
      table: resident?.table,
      samples: identity.checksum,
      samplesDifference: (saved) => samplesDifference(saved, identity),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function demandSamePictures(train: QuestionData, valid: QuestionData): void {
  if (train.pictures !== valid.pictures)
    throw new LxmertError(
      'BAD_DATA',
      `a question of ${valid.name} has ${valid.pictures} pictures, and one of ${train.name} has ${train.pictures}; ` +
        'training and validation must have the same number of pictures a question',
    );
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
}

/**
 * Fills in the sizes of the model from the initial weights, the data and the description.
 * @throws BAD_CONFIG naming the setting; FILE_MISSING, BAD_CHECKPOINT for the initial weights
 */
export async function resolveFinetune(
  config: DescribedFinetune,
  { answers, featureDim, vocabSize }: Pick<OpenedQuestions, 'answers' | 'featureDim' | 'vocabSize'>,
): Promise<ResolvedFinetuneConfig & { readonly data: { readonly folder: string } }> {
  const { from } = config;
  const theirs = from === undefined ? undefined : await initialModelConfig(from, config.model.numAttentionHeads);
  const given = withoutUndefined(config.model);
  const merged = {
    ...(theirs ?? { vocabSize, visualFeatDim: featureDim }),
    ...given,
    numQaLabels: answers.length,
  };
  const parsed = modelConfigSchema.safeParse(merged, { error: expectation });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new LxmertError('BAD_CONFIG', `model.${issue.path.join('.')}: ${issue.message}`);
  }
  const model = parsed.data;
  const source = from === undefined ? 'the model has' : `the weights of ${from} have`;
  const refuse = (what: string): LxmertError => new LxmertError('BAD_CONFIG', `${source} ${what}`);
  if (model.visualFeatDim !== featureDim)
    throw refuse(`features of ${model.visualFeatDim} numbers; the features of the data have ${featureDim}`);
  if (model.vocabSize < vocabSize)
    throw refuse(`a vocabulary of ${model.vocabSize} words; the tokenizer has ${vocabSize}`);
  if (model.maxPositionEmbeddings < config.data.maxTokens)
    throw refuse(`${model.maxPositionEmbeddings} positions; data.maxTokens is ${config.data.maxTokens}`);
  if (given.numQaLabels !== undefined && given.numQaLabels !== answers.length)
    throw new LxmertError(
      'BAD_CONFIG',
      `model.numQaLabels is ${given.numQaLabels}; the answer list has ${answers.length}`,
    );
  return { ...config, model };
}

/** Creates the model of a run on its device, without initial weights. */
export async function openFinetuner(
  config: ResolvedFinetuneConfig,
  pictures: 1 | 2,
  observer?: TrainObserver,
): Promise<Finetuner> {
  const { loss, freeze, optimizer } = config;
  const { lr, headLr = lr } = optimizer;
  const model = new Finetuner({
    ...describedModel(config, observer?.note),
    ...{ pictures, loss, freeze: new Set(freeze), headRate: headLr / lr },
  });
  noteDevice(model.engine, config, observer?.note);
  return model;
}

/** Tells the observer what was found in the data, and what was left out. */
function note(what: string, { name, size, texts, report }: QuestionData, observer: TrainObserver | undefined): void {
  const { withoutFeatures, missingImage, truncated, unknownAnswers, unanswerable } = report;
  const questions = (count: number) => counted(count, 'question');
  observer?.note?.(
    [
      `${what} (${name}): ${questions(size)} of ${texts.join(', ')}`,
      ...(withoutFeatures > 0
        ? [`${questions(withoutFeatures)} left out: no features of a picture (such as ${missingImage})`]
        : []),
      ...(truncated > 0 ? [`${questions(truncated)} cut to the largest number of tokens`] : []),
      ...(unknownAnswers > 0 ? [`${counted(unknownAnswers, 'label')} left out: not in the answer list`] : []),
      ...(unanswerable > 0 ? [`without a label of the answer list: ${questions(unanswerable)}`] : []),
    ].join('; '),
  );
}

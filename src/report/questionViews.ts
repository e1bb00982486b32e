import type { FinetuneConfig } from '../config/finetuneConfig.js';
import type { EngineOptions } from '../engine/index.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import type { Batch } from '../data/batches/batch.js';
import { LxmertError } from '../errors.js';
import { answerVocabulary } from '../finetune/answers/index.js';
import { InferenceModel } from '../finetune/inference.js';
import { openQuestionData, type QuestionData } from '../finetune/questionData.js';
import { questionBatches } from '../finetune/questionSource.js';
import { rankAnswers } from '../finetune/rank.js';
import { WordPiece } from '../text/wordPiece.js';
import {
  mistakesIn,
  pictureView,
  scoresOf,
  spread,
  type SampleView,
  type SampleViewOptions,
  type SampleViews,
} from './sampleView.js';

export interface QuestionViewOptions extends SampleViewOptions {
  /** Run folder of a fine-tuning. */
  readonly run: string;
  readonly config: FinetuneConfig;
  /** Data folder; default: the data folder of the run. */
  readonly data?: string | undefined;
  /** Default: the run's validation splits. */
  readonly splits?: readonly string[] | undefined;
  readonly engine?: EngineOptions | undefined;
}

const batchSize = 32;
const answerGuesses = 3;

/**
 * The answers of a fine-tuned model to validation questions.
 * @throws RUN_FOLDER, BAD_CHECKPOINT; BAD_ARGUMENT without data or without a validation split; the errors of opening
 * data
 */
export async function questionViews(options: QuestionViewOptions): Promise<SampleViews> {
  const { run, config, engine } = options;
  const folder = options.data ?? config.data.folder;
  const splits = options.splits ?? config.data.valid;
  if (folder === undefined) throw new LxmertError('BAD_ARGUMENT', `--data is missing: ${run} names no data`);
  if (splits.length === 0)
    throw new LxmertError('BAD_ARGUMENT', `${run} has no validation split; name one with --splits`);
  const model = await InferenceModel.open(run, { engine });
  const files = new FeatureFiles();
  try {
    const { answers = [], task } = model;
    const wordPiece = await WordPiece.load({ vocabFile: model.vocabulary });
    const data = await openQuestionData({
      ...{ task: config.task, dir: folder, splits, wordPiece, maxTokens: task?.maxTokens, files },
      answers: answerVocabulary(answers, model.path),
      limit: options.questions,
    });
    const views: SampleView[] = [];
    const { batches, release } = questionBatches(data, { batchSize, workers: 0 });
    for await (const batch of batches) {
      const logits = await model.answer(batch);
      for (let start = 0; start < logits.length; start += answers.length) {
        const ranked = rankAnswers(logits.subarray(start, start + answers.length), answers, {
          ...{ loss: model.loss, top: answers.length },
        });
        views.push(viewOf(data, views.length, { batch, e: start / answers.length, wordPiece, ranked, answers }));
      }
      release(batch);
    }
    return {
      split: data.name,
      checkpoint: model.path,
      gallery: spread(views.length, options.samples).map((i) => views[i]),
      scores: scoresOf(views),
      ...mistakesIn(
        views.filter(({ answer }) => answer && answer.right.length > 0),
        options.mistakes,
      ),
    };
  } finally {
    await files.close();
    await model.dispose();
  }
}

interface Answered {
  readonly batch: Batch;
  /** Number of the example in the batch. */
  readonly e: number;
  readonly wordPiece: WordPiece;
  readonly ranked: readonly { readonly answer: string; readonly probability: number }[];
  readonly answers: readonly string[];
}

function viewOf(data: QuestionData, sample: number, { batch, e, wordPiece, ranked, answers }: Answered): SampleView {
  const { answerIds, answerOffsets, pictures, images, imageIds } = data;
  const s = e * pictures;
  const ids = batch.tokenIds.subarray(batch.tokenOffsets[s] + 1, batch.tokenOffsets[s + 1] - 1);
  const right = Array.from(answerIds.subarray(answerOffsets[sample], answerOffsets[sample + 1]), (id) => answers[id]);
  return {
    id: data.sampleId(sample),
    words: Array.from(ids, (id) => wordPiece.token(id)),
    pictures: Array.from({ length: pictures }, (_, i) =>
      pictureView(batch, s + i, imageIds[images[sample * pictures + i]]),
    ),
    answer: {
      right,
      guesses: ranked.slice(0, answerGuesses).map(({ answer, probability }) => ({ text: answer, probability })),
      rightProbability: Math.max(
        0,
        ...ranked.filter(({ answer }) => right.includes(answer)).map(({ probability }) => probability),
      ),
    },
  };
}

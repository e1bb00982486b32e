import type { DeviceName } from '../config/runConfig.js';
import { AnswerTable } from '../data/samples/answers.js';
import { openPretrainData, type PretrainData } from '../data/samples/pretrainData.js';
import { openBatchMaker } from '../data/batches/batchMaker.js';
import type { Batch } from '../data/batches/batch.js';
import { allTasks, drawOtherImage, maskingRates } from '../data/batches/masking.js';
import { LxmertError } from '../errors.js';
import { onlyLoss, type LossName } from '../pretrain/losses.js';
import type { Pretrainer } from '../pretrain/pretrainer.js';
import { WordPiece } from '../text/wordPiece.js';
import { reportDraws } from './probes.js';
import {
  bestGuesses,
  mistakesIn,
  pictureView,
  scoresOf,
  softmax,
  spread,
  type AnswerView,
  type SampleView,
  type SampleViewOptions,
  type SampleViews,
} from './sampleView.js';
import { findTrainedRun, openTrained, type TrainedRun } from './trained.js';

export interface PretrainViewOptions extends SampleViewOptions {
  /** Run folder. */
  readonly run: string;
  /** Data folder; default: the data folder of the run. */
  readonly data?: string | undefined;
  /** Default: the run's validation splits. */
  readonly splits?: readonly string[] | undefined;
  readonly device?: DeviceName | undefined;
  readonly threads?: number | undefined;
}

/** Number of samples of one forward pass. */
const batchSize = 64;
const wordGuesses = 5;
const answerGuesses = 3;

/**
 * The predictions of a pre-trained checkpoint for validation samples: one hidden word, whether the sentence matches its
 * own picture and whether it matches another picture, and the answers. A task on which the run was not trained is left
 * out. All random choices come from one fixed seed.
 * @throws RUN_FOLDER, BAD_CHECKPOINT; BAD_ARGUMENT without data or without a validation split; the errors of opening
 * data
 */
export async function pretrainViews(options: PretrainViewOptions): Promise<SampleViews> {
  const trained = await findTrainedRun(options.run);
  const { config } = trained;
  const folder = options.data ?? config.data.folder;
  const splits = options.splits ?? config.data.valid;
  if (folder === undefined) throw new LxmertError('BAD_ARGUMENT', `--data is missing: ${options.run} names no data`);
  if (splits.length === 0)
    throw new LxmertError('BAD_ARGUMENT', `${options.run} has no validation split; name one with --splits`);
  const wordPiece = await WordPiece.load(trained.vocabFile === undefined ? {} : { vocabFile: trained.vocabFile });
  const data = await openPretrainData({
    ...{ dir: folder, splits, wordPiece, maxTokens: config.data.maxTokens, exclude: config.data.exclude },
    maxMissingShare: 1,
    answers: trained.answers && new AnswerTable(trained.answers),
  });
  try {
    const model = await openTrained(trained, options);
    try {
      const look = (samples: readonly number[]): Promise<SampleView[]> =>
        viewsOf({ model, data, wordPiece, trained }, samples);
      const asked = Array.from({ length: data.size }, (_, sample) => sample).filter((sample) =>
        isAnswered(data, sample),
      );
      const answered = config.tasks.on.includes('qa') && trained.answers !== undefined;
      const questions = answered ? spread(asked.length, options.questions).map((i) => asked[i]) : [];
      return {
        split: data.name,
        checkpoint: trained.checkpoint,
        gallery: await look(spread(data.size, options.samples)),
        scores: scoresOf(await look(spread(data.size, options.questions))),
        ...mistakesIn(await look(questions), options.mistakes),
      };
    } finally {
      await model.dispose();
    }
  } finally {
    await data.close();
  }
}

interface Looking {
  readonly model: Pretrainer;
  readonly data: PretrainData;
  readonly wordPiece: WordPiece;
  readonly trained: TrainedRun;
}

const isAnswered = ({ answerOffsets }: PretrainData, sample: number): boolean =>
  answerOffsets[sample + 1] > answerOffsets[sample];

async function viewsOf(looking: Looking, samples: readonly number[]): Promise<SampleView[]> {
  const maker = openBatchMaker(looking.data, { seed: 0, rates: maskingRates(), workers: 0 });
  const views: SampleView[] = [];
  const make = (some: readonly number[], data = looking.data): Promise<Batch> => {
    const job = { samples: Uint32Array.from(some), epoch: 0, firstSample: 0, tasks: allTasks, unmasked: true };
    return data === looking.data ? maker.make(job) : makeOnce(data, job);
  };
  try {
    for (let start = 0; start < samples.length; start += batchSize) {
      const some = samples.slice(start, start + batchSize);
      views.push(...(await viewsOfBatch(looking, some, make)));
    }
  } finally {
    await maker.close();
  }
  return views;
}

async function makeOnce(
  data: PretrainData,
  job: Parameters<ReturnType<typeof openBatchMaker>['make']>[0],
): Promise<Batch> {
  const maker = openBatchMaker(data, { seed: 0, rates: maskingRates(), workers: 0 });
  try {
    return await maker.make(job);
  } finally {
    await maker.close();
  }
}

async function viewsOfBatch(
  { model, data, wordPiece, trained }: Looking,
  samples: readonly number[],
  make: (samples: readonly number[], data?: PretrainData) => Promise<Batch>,
): Promise<SampleView[]> {
  const { on } = trained.config.tasks;
  const draw = reportDraws();
  const batch = await make(samples);
  const others = Int32Array.from(data.images, (image) => image);
  for (const sample of samples) {
    const other = drawOtherImage(draw(sample, 'order'), data, data.images[sample]);
    if (other >= 0) others[sample] = data.images[other];
  }
  const places = samples.map((sample, s) => {
    const words = batch.tokenOffsets[s + 1] - batch.tokenOffsets[s] - 2;
    return words > 0 ? 1 + draw(sample, 'words').below(words) : 0;
  });
  const hidden = on.includes('maskedLm') ? await hiddenWords(model, batch, places, wordPiece) : undefined;
  const own = on.includes('matched') ? await logitsOf(model, batch, 'matched') : undefined;
  const other = own && (await logitsOf(model, await make(samples, { ...data, images: others }), 'matched'));
  const answers = on.includes('qa') && trained.answers ? await logitsOf(model, batch, 'qa') : undefined;
  return samples.map((sample, s) => {
    const ids = batch.tokenIds.subarray(batch.tokenOffsets[s] + 1, batch.tokenOffsets[s + 1] - 1);
    return {
      id: data.sampleId(sample),
      words: Array.from(ids, (id) => wordPiece.token(id)),
      pictures: [pictureView(batch, s, data.imageIds[data.images[sample]])],
      hidden: hidden && { place: places[s] - 1, guesses: hidden(s) },
      match: own &&
        other && {
          own: softmax(own(s))[1],
          other: softmax(other(s))[1],
          otherId: data.imageIds[others[sample]],
        },
      answer: answers && isAnswered(data, sample) ? answerView(data, sample, answers(s), trained.answers!) : undefined,
    };
  });
}

/** The logits of a head, as a function of the row. */
async function logitsOf(
  model: Pretrainer,
  batch: Batch,
  head: Exclude<LossName, 'feat'>,
): Promise<(row: number) => Float32Array> {
  return model.forward(batch, onlyLoss(head), {
    use: async ({ logits }) => {
      const tensor = logits[head]!;
      const values = await model.engine.readFloats(tensor);
      const width = tensor.shape[1];
      return (row) => values.subarray(row * width, (row + 1) * width);
    },
  });
}

async function hiddenWords(
  model: Pretrainer,
  batch: Batch,
  places: readonly number[],
  wordPiece: WordPiece,
): Promise<(s: number) => SampleViewGuesses> {
  const rows = Int32Array.from(places, (place, s) => batch.tokenOffsets[s] + place);
  const tokenIds = batch.tokenIds.slice();
  for (const row of rows) tokenIds[row] = wordPiece.maskId;
  const labels = Int32Array.from(rows, (row) => batch.tokenIds[row]);
  const masked = { ...batch, tokenIds, maskedTokenRows: rows, maskedTokenLabels: labels };
  const logits = await logitsOf(model, masked, 'maskedLm');
  return (s) => bestGuesses(softmax(logits(s), wordPiece.vocabSize), (id) => wordPiece.token(id), wordGuesses);
}

type SampleViewGuesses = NonNullable<SampleView['hidden']>['guesses'];

function answerView(
  { answerIds, answerOffsets }: PretrainData,
  sample: number,
  logits: Float32Array,
  answers: readonly string[],
): AnswerView {
  const right = Array.from(answerIds.subarray(answerOffsets[sample], answerOffsets[sample + 1]));
  const probabilities = softmax(logits);
  return {
    right: right.map((id) => answers[id]),
    guesses: bestGuesses(probabilities, (row) => answers[row], answerGuesses),
    rightProbability: Math.max(...right.map((id) => probabilities[id])),
  };
}

import type { DeviceName, RunConfig } from '../config/runConfig.js';
import { AnswerTable } from '../data/samples/answers.js';
import { findSplit, readManifest } from '../data/samples/manifest.js';
import { openPretrainData } from '../data/samples/pretrainData.js';
import type { PretrainData } from '../data/samples/pretrainData.js';
import { readSentences } from '../data/samples/sentences.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { contentWords, languageOnlyMajority, questionType, questionTypes, sentenceSets } from '../scenes/index.js';
import type { QuestionType } from '../scenes/index.js';
import type { Pretrainer } from '../pretrain/pretrainer.js';
import { WordPiece } from '../text/wordPiece.js';
import { hiddenObjects, hiddenWords, matching, putTo, questions, reportDraws, withOtherPictures } from './probes.js';
import type { Answers, Probe } from './probes.js';
import { findTrainedRun, openTrained } from './trained.js';
import type { CheckpointLink } from './trained.js';

export interface SceneReportOptions {
  /** Run folder. */
  readonly run: string;
  /** Which checkpoint; default: the checkpoint with the lowest validation loss. */
  readonly checkpoint?: CheckpointLink | undefined;
  /** Data folder with scenes; default: the data folder of the run. */
  readonly data?: string | undefined;
  /** The splits; default: the run's validation splits. */
  readonly splits?: readonly string[] | undefined;
  readonly device?: DeviceName | undefined;
  readonly threads?: number | undefined;
  readonly onProgress?: (what: string) => void;
}

/**
 * The accuracy of the model, and the accuracy of a guess without the model or without the picture; both from 0 to 1.
 */
export interface Score {
  /** Number of questions. */
  readonly asked: number;
  /** Share of the questions that the model answers correctly. */
  readonly right: number;
  /** Share of the questions that the guess answers correctly. */
  readonly floor: number;
}

/** The accuracies of a checkpoint on scenes. A score is absent if the checkpoint was not trained for its task. */
export interface SceneReport {
  readonly checkpoint: string;
  readonly data: string;
  readonly splits: readonly string[];
  readonly scenes: number;
  /** One hidden content word of each caption; floor: the model's accuracy with the picture of another scene. */
  readonly words?: Score;
  /** Class and attribute of one object whose feature is hidden; floor: always the most frequent class or attribute. */
  readonly objectClass?: Score;
  readonly attribute?: Score;
  /**
   * Whether sentence and picture belong together; half of the sentences are swapped; floor: always the more frequent
   * case.
   */
  readonly matching?: Score;
  /** Questions, by type and in `all`; floor: always the most frequent answer of the question's template. */
  readonly questions?: Readonly<Partial<Record<QuestionType | 'all', Score>>>;
}

/**
 * Measures the accuracies of a run's checkpoint on a split of synthetic scenes. Only the value that the model must
 * predict is hidden or swapped. All random choices come from one fixed seed, so two reports can be compared.
 * @throws RUN_FOLDER, BAD_CHECKPOINT; BAD_DATA if the data are not synthetic scenes; the errors of opening data
 */
export async function reportOnScenes(options: SceneReportOptions): Promise<SceneReport> {
  const trained = await findTrainedRun(options.run, options.checkpoint);
  const { config, checkpoint } = trained;
  const folder = options.data ?? config.data.folder;
  if (folder === undefined)
    throw new LxmertError('BAD_ARGUMENT', `--data is missing: ${options.run} has no data folder`);
  const splits = options.splits ?? config.data.valid;
  if (splits.length === 0)
    throw new LxmertError('BAD_ARGUMENT', `--splits is missing: ${options.run} has no validation split`);
  const scenes = await openScenes(folder, splits, {
    vocabulary: trained.vocabFile,
    maxTokens: config.data.maxTokens,
    answers: trained.answers,
  }).catch((error: unknown) => {
    if (options.data !== undefined || !isLxmertError(error) || error.code !== 'FILE_MISSING') throw error;
    const where = `${options.run} was trained on ${folder}, relative to the folder where it was started`;
    throw new LxmertError('FILE_MISSING', `${error.message}; ${where}. Give the place of the data with --data`, {
      cause: error,
    });
  });
  try {
    const model = await openTrained(trained, options);
    try {
      // If a run's data had no answer table, the model has not learnt answers, even if `qa` is among its tasks.
      const on = config.tasks.on.filter((task) => task !== 'qa' || trained.answers);
      const measured = await measure(model, scenes, { ...config.tasks, on }, options.onProgress);
      return { checkpoint, data: folder, splits, scenes: scenes.data.report.images, ...measured };
    } finally {
      await model.dispose();
    }
  } finally {
    await scenes.data.close();
  }
}

/** Measures the model on all tasks for which it was trained. */
async function measure(
  model: Pretrainer,
  scenes: Scenes,
  { on, visualLosses }: RunConfig['tasks'],
  tell: (what: string) => void = () => undefined,
): Promise<Omit<SceneReport, 'checkpoint' | 'data' | 'splits' | 'scenes'>> {
  const { data, captions, asked } = scenes;
  const draw = reportDraws();
  const beside = async (probe: Probe): Promise<Score> => {
    const answers = await putTo(model, probe);
    return withFloor(answers, mostFrequent(answers.right));
  };
  const knows = (loss: 'obj' | 'attr'): boolean => on.includes('objects') && visualLosses.includes(loss);
  tell('words');
  const words = on.includes('maskedLm') && (await wordScore(model, scenes));
  tell('objects');
  const objectClass = knows('obj') && (await beside(hiddenObjects(data, { samples: captions, head: 'obj', draw })));
  const attribute = knows('attr') && (await beside(hiddenObjects(data, { samples: captions, head: 'attr', draw })));
  tell('matching');
  const every = Array.from({ length: data.size }, (_, sample) => sample);
  const matched = on.includes('matched') && (await beside(matching(data, every, draw)));
  tell('questions');
  const answered = on.includes('qa') && questionScores(scenes, await putTo(model, questions(data, asked)));
  return {
    ...(words && { words }),
    ...(objectClass && { objectClass }),
    ...(attribute && { attribute }),
    ...(matched && { matching: matched }),
    ...(answered && { questions: answered }),
  };
}

/** A split of scenes: the samples for the model, and their sentences as text. */
interface Scenes {
  readonly data: PretrainData;
  readonly wordPiece: WordPiece;
  /** The sentence of each sample. */
  readonly sentences: readonly string[];
  /** Samples that are captions, and samples that are questions. */
  readonly captions: readonly number[];
  readonly asked: readonly number[];
}

interface Reading {
  readonly vocabulary: string | undefined;
  readonly maxTokens: number;
  readonly answers: readonly string[] | undefined;
}

/**
 * Opens a split of scenes.
 * @throws BAD_DATA if the sentences are not from synthetic scenes, or if an answer is missing in the model's answer
 * table
 */
async function openScenes(folder: string, splits: readonly string[], reading: Reading): Promise<Scenes> {
  const { vocabulary, maxTokens, answers } = reading;
  const wordPiece = await WordPiece.load(vocabulary === undefined ? {} : { vocabFile: vocabulary });
  const data = await openPretrainData({
    ...{ dir: folder, splits, wordPiece, maxTokens, maxMissingShare: 0 },
    answers: answers && new AnswerTable(answers),
  });
  try {
    const sentences: string[] = [];
    const manifest = await readManifest(folder);
    for (const split of splits)
      await readSentences((await findSplit(manifest, split, 'pretrain')).text, ({ sets }) =>
        sets.forEach((set) => sentences.push(...set.sentences)),
      );
    const samples = sentences.map((_, sample) => sample);
    const captions = samples.filter((sample) => data.setOf(sample) === sentenceSets.captions);
    const asked = samples.filter((sample) => data.setOf(sample) === sentenceSets.questions);
    const strange = asked.find((sample) => questionType(sentences[sample]) === undefined);
    if (captions.length === 0 || asked.length === 0 || strange !== undefined)
      throw new LxmertError(
        'BAD_DATA',
        `${folder}: ${splits.join(', ')} does not have synthetic scenes` +
          (strange === undefined ? '' : ` (${JSON.stringify(sentences[strange])} is not one of their questions)`) +
          '; `lxmert scenes` makes synthetic scenes',
      );
    const { unknownAnswers } = data.report;
    if (unknownAnswers > 0)
      throw new LxmertError(
        'BAD_DATA',
        `${folder}: ${unknownAnswers} answers of ${splits.join(', ')} are not in the answer table of the checkpoint`,
      );
    return { data, wordPiece, sentences, captions, asked };
  } catch (error) {
    await data.close();
    throw error;
  }
}

/**
 * Hides one random content word of each caption, and measures the model with the caption's picture and with another
 * one.
 */
async function wordScore(model: Pretrainer, { data, wordPiece, captions }: Scenes): Promise<Score> {
  const draw = reportDraws();
  const places = new Map<number, number>();
  for (const sample of captions) {
    const ids = data.tokens.subarray(data.tokenOffsets[sample], data.tokenOffsets[sample + 1]);
    const content = contentWords(Array.from(ids, (id) => wordPiece.token(id)));
    if (content.length > 0) places.set(sample, content[draw(sample, 'words').below(content.length)]);
  }
  const samples = [...places.keys()];
  const placeOf = (sample: number): number => places.get(sample)!;
  const own = await putTo(model, hiddenWords(data, samples, placeOf));
  const other = await putTo(model, hiddenWords(withOtherPictures(data, draw), samples, placeOf));
  return withFloor(own, shareRight(other));
}

/** The accuracy for each type of question. The floor is the accuracy of the most frequent answer of each template. */
function questionScores({ sentences, asked }: Scenes, { said, right }: Answers): SceneReport['questions'] {
  const majority = languageOnlyMajority(
    asked.map((sample, i) => ({ sentence: sentences[sample], answer: String(right[i]) })),
  );
  const types = asked.map((sample) => questionType(sentences[sample]));
  const scores = [...questionTypes, 'all' as const].flatMap((key) => {
    const chosen = asked.flatMap((_, i) => (key === 'all' || types[i] === key ? [i] : []));
    if (chosen.length === 0) return [];
    const answers = { said: chosen.map((i) => said[i]), right: chosen.map((i) => right[i]) };
    return [[key, withFloor(answers, majority.majority[key] ?? 0)] as const];
  });
  return Object.fromEntries(scores);
}

const shareRight = ({ said, right }: Answers): number =>
  said.reduce((sum, one, i) => sum + (one === right[i] ? 1 : 0), 0) / Math.max(1, said.length);

const withFloor = (answers: Answers, floor: number): Score => ({
  asked: answers.said.length,
  right: shareRight(answers),
  floor,
});

/** The share of the most frequent value. */
function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return Math.max(0, ...counts.values()) / Math.max(1, values.length);
}

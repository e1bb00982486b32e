import { Growable } from '../data/growable.js';
import type { FeatureReader } from '../data/features/featureSource.js';
import type { FeatureFiles } from '../data/features/openFeatures.js';
import { findSplit, readManifest } from '../data/samples/manifest.js';
import type { SampleArrays } from '../data/samples/sampleStore.js';
import { TokenStore } from '../data/samples/tokenStore.js';
import { sharedArrays } from '../data/sharedArrays.js';
import { LxmertError } from '../errors.js';
import type { WordPiece } from '../text/wordPiece.js';
import type { AnswerVocabulary } from './answers/index.js';
import { readQuestions, type Question, type QuestionTask } from './questions/index.js';

export interface OpenQuestionsOptions {
  readonly task: QuestionTask;
  /** Folder with the data (`--data`). */
  readonly dir: string;
  readonly splits: readonly string[];
  readonly wordPiece: WordPiece;
  readonly answers: AnswerVocabulary;
  /** Most tokens of a question, including [CLS] and [SEP]; default 20. */
  readonly maxTokens?: number | undefined;
  /** Use only the first `limit` questions of each split. */
  readonly limit?: number | undefined;
  /** Opening fails if a larger share of a split's questions has a picture without features. Default: 1, so it never fails. */
  readonly maxMissingShare?: number | undefined;
  /** Whether every question must have labels, as training and scores need. Default: false. */
  readonly labelled?: boolean | undefined;
  readonly inMemory?: boolean | undefined;
  /** Opened feature files, which several splits can share. The caller closes them. */
  readonly files: FeatureFiles;
  readonly signal?: AbortSignal | undefined;
}

/** The counts of what was found and of what was left out when the data were opened. */
export interface QuestionReport {
  /** Number of questions in the files, at most the limit for each split. */
  readonly asked: number;
  /** Questions that are left out because a picture has no features; and the id of one such picture. */
  readonly withoutFeatures: number;
  readonly missingImage: string | undefined;
  readonly truncated: number;
  /** Number of labels that are not in the answer list, and of questions with no label in the list. */
  readonly unknownAnswers: number;
  readonly unanswerable: number;
}

/** Questions with their pictures and targets, ready to be made into batches. */
export interface QuestionData extends SampleArrays {
  /** The names of the splits, with commas between them. */
  readonly name: string;
  readonly pictures: 1 | 2;
  readonly features: FeatureReader;
  readonly imageIds: readonly string[];
  readonly featureDim: number;
  readonly wordPiece: Pick<WordPiece, 'vocabSize' | 'maskId'>;
  readonly report: QuestionReport;
  /** The files of questions, in the form for `readQuestions`, one entry for each split. */
  readonly texts: readonly string[];
  /** The id of a question. */
  sampleId(sample: number): string;
}

/**
 * Opens splits of questions: indexes (or loads) the features, tokenizes the sentences, looks up the answers.
 * @throws BAD_ARGUMENT (unknown split), FILE_MISSING, FILE_ACCESS; BAD_DATA naming file and question, also if a
 *   split has no question with features, required labels are missing, or no label is in the answer list;
 *   the signal's reason
 */
export async function openQuestionData(options: OpenQuestionsOptions): Promise<QuestionData> {
  const { task, dir, wordPiece, files, inMemory, limit = Infinity, signal } = options;
  const manifest = await readManifest(dir);
  const splits = [];
  for (const split of options.splits) splits.push(await findSplit(manifest, split, task));
  const { objectLabels, attributeLabels } = manifest;
  const paths = splits.map(({ features }) => features);
  const { source } = await files.open(paths, { objectLabels, attributeLabels, inMemory, signal });
  const { reader, imageIds } = source;
  const builder = new QuestionBuilder(options, (imageId) => source.indexOf(imageId));
  for (const { text } of splits) {
    const split = new SplitCounts(text, reader.path);
    const take = (question: Question): void => {
      if (split.asked === limit) return;
      split.count(question, builder.add(question));
    };
    await readQuestions({ task, files: text, signal }, take);
    split.check(options);
    builder.report(split);
  }
  const { ids, pictures, ...samples } = builder.finish();
  return {
    ...samples,
    name: splits.map(({ split }) => split).join(','),
    pictures,
    ...{ features: reader, imageIds, featureDim: reader.featureDim, wordPiece },
    texts: splits.map(({ text }) => text),
    sampleId: (sample) => ids[sample],
  };
}

/** The result of adding a question. */
interface Added {
  /** A picture without features; if given, the question was left out. */
  readonly missingImage?: string | undefined;
  readonly unknownAnswers: number;
  readonly answers: number;
}

/** Collects the questions of some splits. */
class QuestionBuilder {
  readonly #options: OpenQuestionsOptions;
  readonly #indexOf: (imageId: string) => number;
  readonly #images = new Growable(sharedArrays.int32);
  readonly #tokens: TokenStore;
  readonly #answerIds = new Growable(sharedArrays.int32);
  readonly #answerScores = new Growable(sharedArrays.float32);
  readonly #answerOffsets = new Growable(sharedArrays.uint32);
  readonly #ids: string[] = [];
  readonly #splits: SplitCounts[] = [];
  #pictures: 1 | 2 | undefined;

  constructor(options: OpenQuestionsOptions, indexOf: (imageId: string) => number) {
    this.#options = options;
    this.#indexOf = indexOf;
    this.#tokens = new TokenStore({ wordPiece: options.wordPiece, maxTokens: options.maxTokens ?? 20 });
    this.#answerOffsets.push(0);
  }

  add({ id, imageIds, sentence, labels = [] }: Question): Added {
    const images = imageIds.map(this.#indexOf);
    const missing = images.findIndex((image) => image < 0);
    if (missing >= 0) return { missingImage: imageIds[missing], unknownAnswers: 0, answers: 0 };
    const pictures = imageIds.length === 2 ? 2 : 1;
    this.#pictures ??= pictures;
    if (pictures !== this.#pictures)
      throw new LxmertError(
        'BAD_DATA',
        `question ${id} has ${pictures === 1 ? 'one picture' : 'two pictures'}, and those of the splits before have ` +
          `${this.#pictures === 1 ? 'one' : 'two'}; all questions of a run must have the same number`,
      );
    this.#images.append(images);
    this.#tokens.add(sentence);
    this.#ids.push(id);
    let [unknownAnswers, answers] = [0, 0];
    for (const { answer, score } of labels) {
      const row = this.#options.answers.idOf(answer);
      if (row < 0) unknownAnswers += 1;
      // A score of 0 means the same as no label for the answer, so it is left out.
      else if (score > 0) {
        this.#answerIds.push(row);
        this.#answerScores.push(score);
        answers += 1;
      }
    }
    this.#answerOffsets.push(this.#answerIds.length);
    return { unknownAnswers, answers };
  }

  report(split: SplitCounts): void {
    this.#splits.push(split);
  }

  finish(): SampleArrays & {
    readonly pictures: 1 | 2;
    readonly ids: readonly string[];
    readonly report: QuestionReport;
  } {
    const { truncatedSentences: truncated, ...tokens } = this.#tokens.finish();
    const sum = (of: (split: SplitCounts) => number): number => this.#splits.reduce((all, split) => all + of(split), 0);
    return {
      size: this.#ids.length,
      pictures: this.#pictures ?? 1,
      images: this.#images.finish(),
      ...tokens,
      answerIds: this.#answerIds.finish(),
      answerScores: this.#answerScores.finish(),
      answerOffsets: this.#answerOffsets.finish(),
      ids: this.#ids,
      report: {
        asked: sum(({ asked }) => asked),
        withoutFeatures: sum(({ withoutFeatures }) => withoutFeatures),
        missingImage: this.#splits.find(({ missingImage }) => missingImage !== undefined)?.missingImage,
        truncated,
        unknownAnswers: sum(({ unknownAnswers }) => unknownAnswers),
        unanswerable: sum(({ unanswerable }) => unanswerable),
      },
    };
  }
}

/** Counts the questions of one split. */
class SplitCounts {
  asked = 0;
  withoutFeatures = 0;
  missingImage: string | undefined;
  unknownAnswers = 0;
  /** Number of questions that have labels, but no label in the answer list. */
  unanswerable = 0;
  #answerable = 0;
  #unlabelled: string[] = [];
  #unknown: string | undefined;

  constructor(
    readonly text: string,
    readonly features: string,
  ) {}

  count({ id, labels }: Question, { missingImage, unknownAnswers, answers }: Added): void {
    this.asked += 1;
    if (labels === undefined) this.#unlabelled.push(id);
    if (missingImage !== undefined) {
      this.withoutFeatures += 1;
      this.missingImage ??= missingImage;
      return;
    }
    this.unknownAnswers += unknownAnswers;
    if (unknownAnswers > 0) this.#unknown ??= labels?.[0]?.answer;
    if (answers > 0) this.#answerable += 1;
    else if (labels !== undefined) this.unanswerable += 1;
  }

  /** @throws BAD_DATA */
  check({ maxMissingShare = 1, labelled = false }: OpenQuestionsOptions): void {
    const { text, asked, withoutFeatures } = this;
    const bad = (problem: string): LxmertError => new LxmertError('BAD_DATA', `${text}: ${problem}`);
    if (labelled && this.#unlabelled.length > 0)
      throw bad(
        `${this.#unlabelled.length} of ${asked} questions have no labels (such as ${this.#unlabelled[0]}); training and ` +
          'scores need labels',
      );
    if (withoutFeatures === asked || withoutFeatures / asked > maxMissingShare)
      throw bad(
        `${withoutFeatures} of ${asked} questions have a picture that is not in ${this.features} (such as ` +
          `${JSON.stringify(this.missingImage)}); at most ${maxMissingShare * 100} % may be missing (maxMissingShare). ` +
          'Do questions and features belong together?',
      );
    if (labelled && this.#answerable === 0)
      throw bad(
        `no question has a label of the answer list (such as ${JSON.stringify(this.#unknown)}); do questions and answers ` +
          'belong together?',
      );
  }
}

/** Some of the questions, in the order given. */
export function pickQuestions(data: QuestionData, questions: readonly number[]): QuestionData {
  const { images, pictures, tokens, tokenOffsets, answerIds, answerScores, answerOffsets } = data;
  const ends = (offsets: Uint32Array): Uint32Array => {
    const picked = sharedArrays.uint32(questions.length + 1);
    questions.forEach((q, i) => (picked[i + 1] = picked[i] + offsets[q + 1] - offsets[q]));
    return picked;
  };
  const values = <T extends Int32Array | Uint16Array | Float32Array>(
    all: T,
    make: (size: number) => T,
    [from, to]: readonly [from: ArrayLike<number>, to: ArrayLike<number>],
  ): T => {
    const picked = make(to[questions.length]);
    questions.forEach((q, i) => picked.set(all.subarray(from[q], from[q + 1]), to[i]));
    return picked;
  };
  const [tokenEnds, answerEnds] = [ends(tokenOffsets), ends(answerOffsets)];
  const imageStarts = (count: number) => Array.from({ length: count + 1 }, (_, i) => i * pictures);
  return {
    ...data,
    size: questions.length,
    images: values(images, sharedArrays.int32, [imageStarts(data.size), imageStarts(questions.length)]),
    tokens: values<Uint16Array | Int32Array>(
      tokens,
      tokens instanceof Uint16Array ? sharedArrays.uint16 : sharedArrays.int32,
      [tokenOffsets, tokenEnds],
    ),
    tokenOffsets: tokenEnds,
    answerIds: values(answerIds, sharedArrays.int32, [answerOffsets, answerEnds]),
    answerScores: values(answerScores, sharedArrays.float32, [answerOffsets, answerEnds]),
    answerOffsets: answerEnds,
    sampleId: (sample) => data.sampleId(questions[sample]),
  };
}

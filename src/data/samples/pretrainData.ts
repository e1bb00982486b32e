import { stat } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import type { WordPiece } from '../../text/wordPiece.js';
import { readAnswerTable } from './answers.js';
import type { AnswerTable } from './answers.js';
import { describeValue } from '../../formats/describe.js';
import { counted } from '../../figures.js';
import type { TaskName } from '../../config/tasks.js';
import { Exclusions } from './exclusion.js';
import type { ExclusionCount } from './exclusion.js';
import type { FeatureReader, FeatureSource } from '../features/featureSource.js';
import { findSplit, readManifest } from './manifest.js';
import type { Manifest, SplitFiles } from './manifest.js';
import { FeatureFiles } from '../features/openFeatures.js';
import type { FeatureFileReport } from '../features/openFeatures.js';
import { sharedArrays } from '../sharedArrays.js';
import { SampleBuilder } from './sampleStore.js';
import type { SampleArrays, Samples } from './sampleStore.js';
import { readSentences } from './sentences.js';
import { cachedSentences, collectSamples } from './sentenceCache.js';
import type { ChosenSentences, SentenceCacheOptions } from './sentenceCache.js';

export interface OpenPretrainOptions {
  /** Folder with the data (`--data`). */
  readonly dir: string;
  /** One or several splits, as a list or with commas between them: `mscoco_train,mscoco_nominival,vgnococo`. */
  readonly splits: string | readonly string[];
  readonly wordPiece: WordPiece;
  /** The largest number of tokens of a sentence, including [CLS] and [SEP]; default 20. */
  readonly maxTokens?: number | undefined;
  /** The answer table for labels, such as that of a checkpoint; default: that of the folder. */
  readonly answers?: AnswerTable | undefined;
  /** Whether to decode all features once and keep them in memory; default: if all files together are smaller than 512 MiB. */
  readonly inMemory?: boolean | undefined;
  /** Opening fails if a larger share of a split's sentences has an image without features. Default 0.01. */
  readonly maxMissingShare?: number | undefined;
  /** Files with ids of images to leave out. */
  readonly exclude?: readonly string[] | undefined;
  /**
   * Files with ids of images that are left out from now on, such as images that cannot be read. Their samples keep their
   * places in the order, but no batch contains them.
   */
  readonly skip?: readonly string[] | undefined;
  /** Opened feature files, which several data can share. The caller closes them. Default: these data open files themselves. */
  readonly files?: FeatureFiles | undefined;
  /** The cache for the WordPieces of large files; default: no cache. */
  readonly cache?: Pick<SentenceCacheOptions, 'folder' | 'onNote'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The counts of what was found and of what was left out when the data were opened. */
export interface DataReport {
  /** Number of samples, which are the sentences whose image has features. */
  readonly sentences: number;
  /** Number of samples with at least one answer of the table. */
  readonly questions: number;
  /** Number of samples from which each task can learn, without samples of images that cannot be read. */
  readonly samplesOf: Readonly<Record<TaskName, number>>;
  /** Number of images that have a sentence. */
  readonly images: number;
  readonly imagesWithoutSentences: number;
  /** The counts of what each exclusion list leaves out, in the order of the lists. */
  readonly excluded: readonly ExclusionCount[];
  /** The counts of what each list of `skip` leaves out of batches. */
  readonly skipped: readonly ExclusionCount[];
  /** Number of sentences that are left out because their image has no features, and the id of one such image. */
  readonly sentencesWithoutImage: number;
  readonly missingImage: string | undefined;
  /** Number of sentences that were cut to `maxTokens`. */
  readonly truncatedSentences: number;
  /** Number of WordPieces of all sentences without [CLS] and [SEP], and how many of them are [UNK]. */
  readonly words: number;
  readonly unknownWords: number;
  /** Number of answers that are left out because they are not in the table. */
  readonly unknownAnswers: number;
  /** Number of entries of the answer table that no label can have, because another entry has the same normal form. */
  readonly unreachableAnswers: number;
  /** The feature files that were opened for these data, without those that were open already. */
  readonly featureFiles: readonly FeatureFileReport[];
}

/** The samples of one or more splits, ready to be made into batches. */
export interface PretrainData extends Samples {
  /** The names of the splits, with commas between them. */
  readonly name: string;
  readonly features: FeatureReader;
  /** Names of the images, by position in `features`. */
  readonly imageIds: readonly string[];
  readonly featureDim: number;
  /** The answer table. If absent, no question can be answered, and QA is off. */
  readonly answers: AnswerTable | undefined;
  readonly wordPiece: Pick<WordPiece, 'vocabSize' | 'maskId' | 'pieces'>;
  /** For each image by position, 1 if no batch may contain it; absent if there is no such image. */
  readonly skippedImages: Uint8Array | undefined;
  /** Number of classes of the detector. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  /** Fields that some images do not have; absent if all images have all fields. */
  readonly lacks?: FeatureSource['lacks'];
  readonly report: DataReport;
  /** `<image id>_<sentence set>_<number>`, the original's uid. */
  sampleId(sample: number): string;
  /** Closes the features, unless they belong to `files`. May be called more than once. */
  close(): Promise<void>;
}

/**
 * Opens splits for pre-training: indexes (or loads) the features, tokenizes the sentences, looks up the answers.
 * Rejects with BAD_ARGUMENT (unknown split), FILE_MISSING, FILE_ACCESS, or the signal's reason. Rejects with BAD_DATA
 * naming file and place, also if a split has no samples, or more than `maxMissingShare` of its sentences have no image.
 */
export async function openPretrainData(options: OpenPretrainOptions): Promise<PretrainData> {
  const { wordPiece, maxTokens = 20, maxMissingShare = 0.01, exclude = [], skip = [], inMemory, signal } = options;
  if (!Number.isInteger(maxTokens) || maxTokens < 3) {
    throw new LxmertError('BAD_ARGUMENT', `maxTokens must be an integer from 3, found ${describeValue(maxTokens)}`);
  }
  if (!(maxMissingShare >= 0 && maxMissingShare <= 1)) {
    throw new LxmertError('BAD_ARGUMENT', `maxMissingShare must be from 0 to 1, found ${maxMissingShare}`);
  }
  const manifest = await readManifest(options.dir);
  const splits: SplitFiles[] = [];
  for (const split of splitNames(options.splits)) splits.push(await findSplit(manifest, split, 'pretrain'));
  const name = splits.map(({ split }) => split).join(',');
  const answers =
    options.answers ?? (manifest.answers === undefined ? undefined : await readAnswerTable(manifest.answers));

  const exclusions = await Exclusions.read(exclude);
  const skipping = await Exclusions.read(skip);
  const leftOut = new Set([...exclusions.ids, ...skipping.ids]);
  const mayFail = (imageId: string) => leftOut.has(imageId);
  const { objectLabels, attributeLabels } = manifest;
  const files = options.files ?? new FeatureFiles();
  const close = async () => {
    if (files !== options.files) await files.close();
  };
  try {
    const paths = splits.map(({ features }) => features);
    const { source, opened } = await files.open(paths, { objectLabels, attributeLabels, inMemory, mayFail, signal });
    const { reader, imageIds } = source;
    demandLabels(source, manifest);
    const samples = new SampleBuilder({ wordPiece, maxTokens, answers });
    const chosen: ChosenSentences[] = [];
    const cached =
      options.cache && (await isLarge(splits))
        ? { ...options.cache, wordPiece, maxTokens, answers, signal }
        : undefined;
    const used = new Uint8Array(imageIds.length);
    const skippedImages = sharedArrays.uint8(imageIds.length);
    let withoutImage = 0;
    let missingImage: string | undefined;
    for (const split of splits) {
      const found: SplitCounts = { sentences: 0, excluded: 0, missing: 0, missingImage: undefined };
      /** Counts an image. @returns its position in the features, or -1 if it is left out */
      const take = (imageId: string, count: number): number => {
        found.sentences += count;
        if (exclusions.take(imageId, count)) {
          found.excluded += count;
          return -1;
        }
        const position = source.indexOf(imageId);
        if (position >= 0) {
          if (count > 0) used[position] = 1;
          if (skipping.take(imageId, count)) skippedImages[position] = 1;
        } else if (count > 0) {
          found.missing += count;
          found.missingImage ??= imageId;
        }
        return position;
      };
      if (cached) {
        const cache = await cachedSentences(split.text, cached);
        const { firstSamples } = cache;
        const positions = Int32Array.from(cache.imageIds, (id, i) => take(id, firstSamples[i + 1] - firstSamples[i]));
        chosen.push({ cache, positions });
      } else
        await readSentences(
          split.text,
          (image) => {
            const count = image.sets.reduce((sum, set) => sum + set.sentences.length, 0);
            const position = take(image.imageId, count);
            if (position >= 0) samples.add(position, image);
          },
          signal,
        );
      checkSplit(split.text, found, { maxShare: maxMissingShare, source, lists: exclude });
      withoutImage += found.missing;
      missingImage ??= found.missingImage;
    }
    const excluded = exclusions.counts((imageId) => source.indexOf(imageId) >= 0);
    const skipped = skipping.counts((imageId) => source.indexOf(imageId) >= 0);
    const { questions, withWords, words, unknownWords, truncatedSentences, unknownAnswers, ...packed } = cached
      ? await collectSamples(chosen, wordPiece)
      : withoutDetails(samples.finish());
    const images = used.reduce((sum, one) => sum + one, 0);
    const anySkipped = skippedImages.includes(1);
    const left = anySkipped ? countLeft(packed, skippedImages) : { samples: packed.size, images, questions, withWords };
    if (packed.size > 0 && left.samples === 0) {
      throw new LxmertError('BAD_DATA', `${name}: all ${packed.size} sentences are left out by ${skip.join(', ')}`);
    }
    return {
      ...packed,
      name,
      features: reader,
      imageIds,
      featureDim: reader.featureDim,
      answers,
      wordPiece,
      objectLabels,
      attributeLabels,
      lacks: source.lacks,
      skippedImages: anySkipped ? skippedImages : undefined,
      report: {
        sentences: packed.size,
        questions,
        samplesOf: {
          maskedLm: left.withWords,
          matched: left.images > 1 ? left.samples : 0,
          objects: left.samples,
          qa: left.questions,
        },
        images,
        imagesWithoutSentences: imageIds.length - images - excluded.reduce((sum, list) => sum + list.images, 0),
        excluded,
        skipped,
        sentencesWithoutImage: withoutImage,
        missingImage,
        truncatedSentences,
        words,
        unknownWords,
        unknownAnswers,
        unreachableAnswers: answers?.unreachable ?? 0,
        featureFiles: opened,
      },
      sampleId: (sample) =>
        `${imageIds[packed.images[sample]]}_${packed.setOf(sample)}_${String(packed.numberOf(sample)).padStart(3, '0')}`,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Smallest size of text for which the cache is used. */
const CACHED_BYTES = 16 * 2 ** 20;

async function isLarge(splits: readonly SplitFiles[]): Promise<boolean> {
  let bytes = 0;
  for (const { text } of splits) bytes += (await stat(text).catch(() => undefined))?.size ?? 0;
  return bytes >= CACHED_BYTES;
}

function withoutDetails<T extends { readonly details: unknown }>({ details: _, ...rest }: T): Omit<T, 'details'> {
  return rest;
}

/** @throws BAD_DATA if a store has more classes than the description of the data folder says */
function demandLabels({ labels, reader }: FeatureSource, { objectLabels, attributeLabels }: Manifest): void {
  for (const [key, theirs, ours] of [
    ['objectLabels', labels?.objects ?? 0, objectLabels],
    ['attributeLabels', labels?.attributes ?? 0, attributeLabels],
  ] as const)
    if (theirs > ours)
      throw new LxmertError(
        'BAD_DATA',
        `${reader.path}: has ${theirs} classes, the data folder says ${ours}; write '${key}: ${theirs}' into data.yaml, ` +
          'or import with --classes and --attributes',
      );
}

function splitNames(splits: string | readonly string[]): readonly string[] {
  const names = (typeof splits === 'string' ? splits.split(',') : splits).map((name) => name.trim());
  if (names.length === 0 || names.includes('')) {
    throw new LxmertError('BAD_ARGUMENT', `splits must be names with commas between, found ${describeValue(splits)}`);
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new LxmertError('BAD_ARGUMENT', `the split '${twice}' is given twice`);
  return names;
}

/** Counts of the text of one split. */
interface SplitCounts {
  sentences: number;
  excluded: number;
  missing: number;
  missingImage: string | undefined;
}

/** Counts samples without those of skipped images. */
function countLeft(
  { size, images, tokenOffsets, answerOffsets }: SampleArrays,
  skippedImages: Uint8Array,
): { readonly samples: number; readonly images: number; readonly questions: number; readonly withWords: number } {
  const shown = new Set<number>();
  let [samples, questions, withWords] = [0, 0, 0];
  for (let sample = 0; sample < size; sample++) {
    if (skippedImages[images[sample]] === 1) continue;
    samples++;
    shown.add(images[sample]);
    if (answerOffsets[sample + 1] > answerOffsets[sample]) questions++;
    if (tokenOffsets[sample + 1] - tokenOffsets[sample] > 2) withWords++;
  }
  return { samples, images: shown.size, questions, withWords };
}

function checkSplit(
  text: string,
  { sentences, excluded, missing, missingImage }: Readonly<SplitCounts>,
  { maxShare, source, lists }: { maxShare: number; source: FeatureSource; lists: readonly string[] },
): void {
  if (sentences === 0) throw new LxmertError('BAD_DATA', `${text}: no sentences in it`);
  const left = sentences - excluded;
  if (left === 0) {
    throw new LxmertError('BAD_DATA', `${text}: all ${sentences} sentences are left out by ${lists.join(', ')}`);
  }
  if (missing / left > maxShare || missing === left) {
    const { imageIds, reader } = source;
    const alike = missingImage === undefined ? undefined : findAlike(missingImage, imageIds);
    const there = describeValue(alike ?? imageIds[0]);
    throw new LxmertError(
      'BAD_DATA',
      `${text}: the images of ${missing} of ${counted(left, 'sentence')} are not in ${reader.path} (such as ` +
        `${describeValue(missingImage)}; the features have ${alike === undefined ? 'ids like ' : ''}${there}); ` +
        `at most ${maxShare * 100} % may be missing (maxMissingShare). ` +
        (alike === undefined
          ? 'Do text and features belong together?'
          : 'The ids differ in how they are written; write them alike in both files'),
    );
  }
}

/** Finds an id that probably means the same image but has another padding, prefix, folder, ending or case. */
function findAlike(id: string, candidates: readonly string[]): string | undefined {
  const core = coreOf(id);
  return core === '' ? undefined : candidates.find((candidate) => coreOf(candidate) === core);
}

/** The last number of an id without leading zeros. If there is no number, the name without folder and ending, in lower case. */
function coreOf(id: string): string {
  const name = id.replace(/^.*[/\\]/, '').replace(/\.(jpe?g|png)$/i, '');
  return /(\d+)\D*$/.exec(name)?.[1].replace(/^0+(?=\d)/, '') ?? name.trim().toLowerCase();
}

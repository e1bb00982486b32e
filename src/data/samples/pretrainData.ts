import { LxmertError } from '../../errors.js';
import type { WordPiece } from '../../text/wordPiece.js';
import { readAnswerTable } from './answers.js';
import type { AnswerTable } from './answers.js';
import { describeValue } from '../../formats/describe.js';
import { Exclusions } from './exclusion.js';
import type { ExclusionCount } from './exclusion.js';
import type { FeatureReader } from '../features/featureSource.js';
import { findSplit, readManifest } from './manifest.js';
import type { SplitFiles } from './manifest.js';
import { FeatureFiles } from '../features/openFeatures.js';
import { SampleBuilder } from './sampleStore.js';
import type { Samples } from './sampleStore.js';
import { readSentences } from './sentences.js';
import type { ImageSentences } from './sentences.js';

export interface OpenPretrainOptions {
  /** Folder with the data (`--data`). */
  readonly dir: string;
  /** One split or several, as a list or with commas between: `mscoco_train,mscoco_nominival,vgnococo`. */
  readonly splits: string | readonly string[];
  readonly wordPiece: WordPiece;
  /** Most tokens of a sentence, [CLS] and [SEP] included; default 20. */
  readonly maxTokens?: number | undefined;
  /** The answer table to label with, e.g. a checkpoint's; default: that of the folder. */
  readonly answers?: AnswerTable | undefined;
  /** Decode all features once and keep them; default: when the files are under 512 MiB together. */
  readonly inMemory?: boolean | undefined;
  /** Largest share of a split's sentences whose image has no features; above it opening fails. Default 0.01. */
  readonly maxMissingShare?: number | undefined;
  /** Files with ids of images to leave out. */
  readonly exclude?: readonly string[] | undefined;
  /** Feature files that other data have opened, or will; whoever made it closes it. Default: these data's own. */
  readonly files?: FeatureFiles | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was found and what was left out on opening. */
export interface DataReport {
  /** Samples: sentences whose image has features. */
  readonly sentences: number;
  /** Samples with at least one answer of the table. */
  readonly questions: number;
  /** Images that have a sentence. */
  readonly images: number;
  readonly imagesWithoutSentences: number;
  /** Left out by exclusion lists, in the order in which these were given. */
  readonly excluded: readonly ExclusionCount[];
  /** Left out: sentences whose image has no features, and one such image. */
  readonly sentencesWithoutImage: number;
  readonly missingImage: string | undefined;
  /** Cut to `maxTokens`. */
  readonly truncatedSentences: number;
  /** Left out: answers that are not in the table. */
  readonly unknownAnswers: number;
}

/** The samples of one or more splits, ready to be made into batches. */
export interface PretrainData extends Samples {
  /** The splits, with commas between. */
  readonly name: string;
  readonly features: FeatureReader;
  /** Names of the images, by position in `features`. */
  readonly imageIds: readonly string[];
  readonly featureDim: number;
  /** The answer table; absent: no question can be answered, QA is off. */
  readonly answers: AnswerTable | undefined;
  readonly wordPiece: Pick<WordPiece, 'vocabSize' | 'maskId'>;
  /** Classes that the detector knows. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly report: DataReport;
  /** `<image id>_<sentence set>_<number>`, the original's uid. */
  sampleId(sample: number): string;
  /** Closes the features, unless they are of `files`. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens splits for pre-training: indexes (or loads) the features, tokenizes the sentences, looks up the answers.
 * Rejects with BAD_ARGUMENT (unknown split), FILE_MISSING, FILE_ACCESS, or BAD_DATA naming file and place, also when
 * a split has no samples or more than `maxMissingShare` of its sentences have no image; and with the signal's reason.
 */
export async function openPretrainData(options: OpenPretrainOptions): Promise<PretrainData> {
  const { wordPiece, maxTokens = 20, maxMissingShare = 0.01, exclude = [], inMemory, signal } = options;
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
  const { objectLabels, attributeLabels } = manifest;
  const files = options.files ?? new FeatureFiles();
  const close = async () => {
    if (files !== options.files) await files.close();
  };
  try {
    const paths = splits.map(({ features }) => features);
    const source = await files.open(paths, {
      ...{ objectLabels, attributeLabels, inMemory, signal },
    });
    const { reader, imageIds } = source;
    const samples = new SampleBuilder({ wordPiece, maxTokens, answers });
    const used = new Uint8Array(imageIds.length);
    let withoutImage = 0;
    let missingImage: string | undefined;
    for (const split of splits) {
      const found: SplitCounts = { sentences: 0, excluded: 0, missing: 0, missingImage: undefined };
      const take = (image: ImageSentences): void => {
        const count = image.sets.reduce((sum, set) => sum + set.sentences.length, 0);
        found.sentences += count;
        if (exclusions.take(image.imageId, count)) {
          found.excluded += count;
          return;
        }
        const position = source.indexOf(image.imageId);
        if (position >= 0) {
          if (count > 0) used[position] = 1;
          samples.add(position, image);
        } else if (count > 0) {
          found.missing += count;
          found.missingImage ??= image.imageId;
        }
      };
      await readSentences(split.text, take, signal);
      checkSplit(split.text, found, maxMissingShare, reader.path, exclude);
      withoutImage += found.missing;
      missingImage ??= found.missingImage;
    }
    const excluded = exclusions.counts((imageId) => source.indexOf(imageId) >= 0);
    const { questions, truncatedSentences, unknownAnswers, ...packed } = samples.finish();
    const images = used.reduce((sum, one) => sum + one, 0);
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
      report: {
        sentences: packed.size,
        questions,
        images,
        imagesWithoutSentences: imageIds.length - images - excluded.reduce((sum, list) => sum + list.images, 0),
        excluded,
        sentencesWithoutImage: withoutImage,
        missingImage,
        truncatedSentences,
        unknownAnswers,
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

function splitNames(splits: string | readonly string[]): readonly string[] {
  const names = (typeof splits === 'string' ? splits.split(',') : splits).map((name) => name.trim());
  if (names.length === 0 || names.includes('')) {
    throw new LxmertError('BAD_ARGUMENT', `splits must be names with commas between, found ${describeValue(splits)}`);
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new LxmertError('BAD_ARGUMENT', `the split '${twice}' is given twice`);
  return names;
}

/** What one split's text came to. */
interface SplitCounts {
  sentences: number;
  excluded: number;
  missing: number;
  missingImage: string | undefined;
}

function checkSplit(
  text: string,
  { sentences, excluded, missing, missingImage }: Readonly<SplitCounts>,
  maxShare: number,
  features: string,
  lists: readonly string[],
): void {
  if (sentences === 0) throw new LxmertError('BAD_DATA', `${text}: no sentences in it`);
  const left = sentences - excluded;
  if (left === 0) {
    throw new LxmertError('BAD_DATA', `${text}: all ${sentences} sentences are left out by ${lists.join(', ')}`);
  }
  if (missing / left > maxShare || missing === left) {
    throw new LxmertError(
      'BAD_DATA',
      `${text}: the images of ${missing} of ${left} sentences are not in ${features} (such as ` +
        `${describeValue(missingImage)}); at most ${maxShare * 100} % may be missing (maxMissingShare). ` +
        'Do text and features belong together?',
    );
  }
}

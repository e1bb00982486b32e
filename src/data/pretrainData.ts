import { stat } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import type { WordPiece } from '../text/wordPiece.js';
import { readAnswerTable } from './answers.js';
import type { AnswerTable } from './answers.js';
import { describeValue } from './describe.js';
import type { FeatureSource } from './featureSource.js';
import { IN_MEMORY_BYTES } from './featureTsv.js';
import { findSplit, readManifest } from './manifest.js';
import type { SplitFiles } from './manifest.js';
import { mergeSources, openFeatures } from './openFeatures.js';
import { SampleBuilder } from './sampleStore.js';
import type { Samples } from './sampleStore.js';
import { readSentences } from './sentences.js';

export interface OpenPretrainOptions {
  /** Folder with the data (`--data`). */
  readonly dir: string;
  /** One split or several, as a list or with commas between: `mscoco_train,mscoco_nominival,vgnococo`. */
  readonly splits: string | readonly string[];
  readonly wordPiece: WordPiece;
  /** Most tokens of a sentence, [CLS] and [SEP] included; default 20. */
  readonly maxTokens?: number;
  /** The answer table to label with, e.g. a checkpoint's; default: that of the folder. */
  readonly answers?: AnswerTable;
  /** Decode all features once and keep them; default: when the files are under 512 MiB together. */
  readonly inMemory?: boolean;
  /** Largest share of sentences whose image has no features; above it opening fails. Default 0.01. */
  readonly maxMissingShare?: number;
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
  readonly features: FeatureSource;
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
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens splits for pre-training: indexes (or loads) the features, tokenizes the sentences, looks up the answers.
 * Rejects with BAD_ARGUMENT (unknown split), FILE_MISSING, FILE_ACCESS, or BAD_DATA naming file and place, also when
 * there are no samples or more than `maxMissingShare` of the sentences have no image.
 */
export async function openPretrainData(options: OpenPretrainOptions): Promise<PretrainData> {
  const { wordPiece, maxTokens = 20, maxMissingShare = 0.01 } = options;
  if (!Number.isInteger(maxTokens) || maxTokens < 3) {
    throw new LxmertError('BAD_ARGUMENT', `maxTokens must be an integer from 3, found ${describeValue(maxTokens)}`);
  }
  const manifest = await readManifest(options.dir);
  const splits: SplitFiles[] = [];
  for (const split of splitNames(options.splits)) splits.push(await findSplit(manifest, split, 'pretrain'));
  const name = splits.map(({ split }) => split).join(',');
  const answers =
    options.answers ?? (manifest.answers === undefined ? undefined : await readAnswerTable(manifest.answers));

  const { objectLabels, attributeLabels } = manifest;
  const features = await openAll(splits, { objectLabels, attributeLabels }, options.inMemory);
  try {
    const samples = new SampleBuilder({ wordPiece, maxTokens, answers });
    const used = new Uint8Array(features.numImages);
    let sentences = 0;
    let withoutImage = 0;
    let missingImage: string | undefined;
    for (const { text } of splits) {
      await readSentences(text, (image) => {
        const count = image.sets.reduce((sum, set) => sum + set.sentences.length, 0);
        const position = features.indexOf(image.imageId);
        sentences += count;
        if (position >= 0) {
          if (count > 0) used[position] = 1;
          samples.add(position, image);
        } else if (count > 0) {
          withoutImage += count;
          missingImage ??= image.imageId;
        }
      });
    }
    checkShare(withoutImage, sentences, maxMissingShare, missingImage, splits);
    const { questions, truncatedSentences, unknownAnswers, ...packed } = samples.finish();
    const images = used.reduce((sum, one) => sum + one, 0);
    return {
      ...packed,
      name,
      features,
      featureDim: features.featureDim,
      answers,
      wordPiece,
      objectLabels,
      attributeLabels,
      report: {
        sentences: packed.size,
        questions,
        images,
        imagesWithoutSentences: features.numImages - images,
        sentencesWithoutImage: withoutImage,
        missingImage,
        truncatedSentences,
        unknownAnswers,
      },
      sampleId: (sample) =>
        `${features.imageIds[packed.images[sample]]}_${packed.setOf(sample)}_${String(packed.numberOf(sample)).padStart(3, '0')}`,
      close: () => features.close(),
    };
  } catch (error) {
    await features.close();
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

/** Opens each features file once, however many splits share it. */
async function openAll(
  splits: readonly SplitFiles[],
  labels: { objectLabels: number; attributeLabels: number },
  inMemory: boolean | undefined,
): Promise<FeatureSource> {
  const paths = [...new Set(splits.map(({ features }) => features))];
  let bytes = 0;
  for (const path of paths) bytes += (await stat(path).catch(() => undefined))?.size ?? 0;
  const opened: FeatureSource[] = [];
  try {
    for (const path of paths) {
      opened.push(await openFeatures(path, { ...labels, inMemory: inMemory ?? bytes < IN_MEMORY_BYTES }));
    }
    return mergeSources(opened);
  } catch (error) {
    await Promise.all(opened.map((source) => source.close()));
    throw error;
  }
}

function checkShare(
  missing: number,
  all: number,
  maxShare: number,
  example: string | undefined,
  splits: readonly SplitFiles[],
): void {
  const texts = splits.map(({ text }) => text).join(', ');
  const features = [...new Set(splits.map((split) => split.features))].join(', ');
  if (all === 0) throw new LxmertError('BAD_DATA', `${texts}: no sentences in it`);
  if (missing / all > maxShare || missing === all) {
    throw new LxmertError(
      'BAD_DATA',
      `${texts}: the images of ${missing} of ${all} sentences are not in ${features} (such as ` +
        `${describeValue(example)}); at most ${maxShare * 100} % may be missing. Do text and features belong together?`,
    );
  }
}

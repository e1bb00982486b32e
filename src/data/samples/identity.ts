import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { allocateObjectRows } from '../features/featureSource.js';
import type { FeatureReader } from '../features/featureSource.js';
import type { SampleArrays } from './sampleStore.js';

/** The data that an identity covers. */
export interface IdentifiedData extends SampleArrays {
  readonly features: FeatureReader;
  readonly imageIds: readonly string[];
  readonly featureDim: number;
  /** Number of classes of the detector; absent if no label needs them. */
  readonly objectLabels?: number | undefined;
  readonly attributeLabels?: number | undefined;
  readonly wordPiece: { readonly pieces: readonly string[] };
  readonly skippedImages?: Uint8Array | undefined;
}

/** Checksums that show whether training samples are the same as at the start of a run. */
export interface SamplesIdentity {
  /**
   * The checksum to save: `2:<samples>:<features>`, with two hashes. The first covers image ids, object counts, feature width,
   * sentences (as WordPieces), answers, order and the vocabulary. The second covers boxes, classes, confidences and features
   * of some images, and is absent if one of these images is left out. Paths and the order of lines in feature files have no
   * effect on the hashes.
   */
  readonly checksum: string;
  /** The checksum in the form of earlier releases: a hash of the arrays of the samples. */
  readonly former: string;
}

/** Number of images whose features are read for the checksum if there are too many to read all. */
const IMAGES_READ = 256;
/** All images are read if their features have at most this many floats (64 MiB). */
const ALL_READ = 2 ** 24;

/** Computes the checksums. Reads at most 64 MiB, or 256 images. Rejects with the errors of reading, or the signal's reason. */
export async function samplesIdentity(data: IdentifiedData, signal?: AbortSignal): Promise<SamplesIdentity> {
  const [order, images] = firstAppearances(data);
  const samples = hashOf((hash) => {
    hash.update(JSON.stringify([data.featureDim, data.objectLabels, data.attributeLabels]));
    hash.update(JSON.stringify(data.wordPiece.pieces));
    hash.update(JSON.stringify(images.map((image) => [data.imageIds[image], data.features.numObjects(image)])));
    hash.update(bytesOf(order));
    for (const array of textArrays(data)) hash.update(bytesOf(array));
  });
  const features = await featuresHash(data, images, signal);
  return {
    checksum: ['2', samples, ...(features === undefined ? [] : [features])].join(':'),
    // Only checkpoints of an earlier release need it.
    get former() {
      return formerChecksum(data);
    },
  };
}

/** Describes how samples differ from those of a saved checksum; undefined if they are the same. */
export function samplesDifference(saved: string, { checksum, former }: SamplesIdentity): string | undefined {
  const [format, samples, features] = saved.split(':');
  if (samples === undefined)
    return saved === former ? undefined : 'the samples: images, sentences, answers or their order';
  const [newFormat, newSamples, newFeatures] = checksum.split(':');
  if (format !== newFormat) return `the form of the checksum: it was ${format}, of another lxmert`;
  if (samples !== newSamples)
    return 'the samples: image ids, object counts, sentences, answers, their order or the vocabulary';
  const known = features !== undefined && newFeatures !== undefined;
  return known && features !== newFeatures ? 'the values of boxes, classes, confidences or features' : undefined;
}

/** Numbers images in the order in which samples use them. Returns the number for each sample, [N], and the images by number. */
function firstAppearances({ images, imageIds }: IdentifiedData): readonly [Int32Array, readonly number[]] {
  const numbers = new Int32Array(imageIds.length).fill(-1);
  const order = new Int32Array(images.length);
  const found: number[] = [];
  for (let i = 0; i < images.length; i++) {
    const image = images[i];
    if (numbers[image] < 0) {
      numbers[image] = found.length;
      found.push(image);
    }
    order[i] = numbers[image];
  }
  return [order, found];
}

/** The second hash; undefined if an image that would be read is left out. */
async function featuresHash(
  { features, skippedImages }: IdentifiedData,
  images: readonly number[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const floats = images.reduce((sum, image) => sum + features.numObjects(image) * features.featureDim, 0);
  const count = floats <= ALL_READ ? images.length : Math.min(images.length, IMAGES_READ);
  const read = Array.from({ length: count }, (_, i) => images[Math.floor((i * images.length) / count)]);
  if (read.some((image) => skippedImages?.[image] === 1)) return undefined;
  const hash = createHash('sha256');
  for (const image of read) {
    signal?.throwIfAborted();
    const rows = allocateObjectRows(features.numObjects(image), features.featureDim);
    await features.read(image, rows, 0);
    for (const array of Object.values(rows) as NodeJS.TypedArray[]) hash.update(bytesOf(array));
  }
  return hash.digest('hex').slice(0, 16);
}

/** The checksum of the first format: positions of images instead of their ids. */
function formerChecksum(samples: SampleArrays): string {
  return hashOf((hash) => {
    for (const array of [samples.images, ...textArrays(samples)]) hash.update(bytesOf(array));
  });
}

const textArrays = ({ tokens, tokenOffsets, answerIds, answerScores, answerOffsets }: SampleArrays) => [
  ...[tokens, tokenOffsets],
  ...[answerIds, answerScores, answerOffsets],
];

const bytesOf = ({ buffer, byteOffset, byteLength }: NodeJS.TypedArray) =>
  new Uint8Array(buffer, byteOffset, byteLength);

function hashOf(fill: (hash: Hash) => void): string {
  const hash = createHash('sha256');
  fill(hash);
  return hash.digest('hex').slice(0, 16);
}

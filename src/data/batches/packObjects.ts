import { inGroups } from '../concurrency.js';
import { withWayOut } from '../features/damage.js';
import { allocateObjectRows } from '../features/featureSource.js';
import type { FeatureReader, ResidentReader } from '../features/featureSource.js';
import { Growable } from '../growable.js';
import { imagesOf } from './batchJob.js';
import type { AssembleOptions, Assembly } from './batchJob.js';
import type { Batch } from './batch.js';
import { drawFate, drawOtherImage, fates } from './masking.js';

/** The fields of a batch that describe objects. */
type PackedObjects = Pick<
  Batch,
  | 'objectOffsets'
  | 'visualFeats'
  | 'visualPos'
  | 'objectLabels'
  | 'objectConfs'
  | 'attributeLabels'
  | 'attributeConfs'
  | 'maskedObjectRows'
  | 'featureTargets'
  | 'residentRows'
  | 'residentTargets'
>;

/** Packs the objects of some samples, one sample after the other, and masks some of them. */
export async function packObjects(assembly: Assembly): Promise<PackedObjects> {
  const { data, job, options } = assembly;
  const { features } = data;
  const { memory } = options;
  const images = Array.from(job.samples).flatMap((sample) => [...imagesOf(data, sample)]);
  const objectOffsets = new Int32Array(images.length + 1);
  images.forEach((image, s) => (objectOffsets[s + 1] = objectOffsets[s] + features.numObjects(image)));
  const resident = 'firstRow' in features;
  const rows = allocateObjectRows(
    objectOffsets[images.length],
    resident ? 0 : features.featureDim,
    memory && ((length) => memory.take(length)),
  );
  if ('readAll' in features && features.readAll)
    await features.readAll(images, rows, objectOffsets).catch(failWithWayOut);
  else await inGroups(images.length, (s) => features.read(images[s], rows, objectOffsets[s]).catch(failWithWayOut));
  const masks = maskObjects(assembly, objectOffsets);
  return {
    objectOffsets,
    visualFeats: rows.features,
    visualPos: rows.boxes,
    objectLabels: rows.objectIds,
    objectConfs: rows.objectConfs,
    attributeLabels: rows.attrIds,
    attributeConfs: rows.attrConfs,
    maskedObjectRows: masks.rows,
    ...(resident
      ? nameRows(features, images, objectOffsets, masks)
      : await maskFeatures(features, rows.features, masks, options)),
  };
}

function failWithWayOut(error: unknown): never {
  throw withWayOut(error);
}

/** The replacement of an object. */
interface Replacement {
  readonly row: number;
  /** The object that replaces it; absent if its feature becomes zeros. */
  readonly by?: { readonly image: number; readonly object: number };
}

interface ObjectMasks {
  /** The rows to predict, ascending. */
  readonly rows: Int32Array;
  /** The objects that are replaced. */
  readonly replaced: readonly Replacement[];
}

/** Draws which objects the model must predict, and how they are replaced. */
function maskObjects(assembly: Assembly, objectOffsets: Int32Array): ObjectMasks {
  const { data, job, options, random } = assembly;
  const { samples, epoch, tasks, unmasked } = job;
  const { rates } = options;
  const rows = new Growable((n) => new Int32Array(n), 64);
  const replaced: Replacement[] = [];
  for (let s = 0; unmasked !== true && tasks.objects && s < samples.length; s++) {
    random.at(epoch, samples[s], 'objects');
    for (let row = objectOffsets[s]; row < objectOffsets[s + 1]; row++) {
      const fate = drawFate(random, rates.objects, rates);
      if (fate === fates.untouched) continue;
      rows.push(row);
      if (fate === fates.masked) replaced.push({ row });
      else if (fate === fates.random) replaced.push({ row, by: drawObject(assembly, data.images[samples[s]]) });
    }
  }
  return { rows: rows.finish(), replaced };
}

function drawObject({ data, random }: Assembly, image: number): { image: number; object: number } {
  let other = drawOtherImage(random, data, image);
  const isSkipped = () => other >= 0 && data.skippedImages?.[data.images[other]] === 1;
  for (let tries = 0; tries < 64 && isSkipped(); tries++) other = drawOtherImage(random, data, image);
  // If no other image can be used, an object of the same image is used.
  const from = other < 0 || isSkipped() ? image : data.images[other];
  return { image: from, object: random.below(data.features.numObjects(from)) };
}

/** Masks features in place. Their old values are the targets. */
async function maskFeatures(
  source: FeatureReader,
  features: Float32Array,
  { rows, replaced }: ObjectMasks,
  { memory }: AssembleOptions,
): Promise<Pick<Batch, 'featureTargets'>> {
  const width = source.featureDim;
  const targets = memory?.take(rows.length * width) ?? new Float32Array(rows.length * width);
  rows.forEach((row, i) => targets.set(features.subarray(row * width, (row + 1) * width), i * width));
  await inGroups(replaced.length, async (i) => {
    const { row, by } = replaced[i];
    if (by === undefined) features.fill(0, row * width, (row + 1) * width);
    else await source.readFeature(by.image, by.object, features, row * width).catch(failWithWayOut);
  });
  return { featureTargets: targets };
}

/** The same for features on the device: returns row numbers of the table instead of features. */
function nameRows(
  source: ResidentReader,
  images: readonly number[],
  objectOffsets: Int32Array,
  masks: ObjectMasks,
): Pick<Batch, 'featureTargets' | 'residentRows' | 'residentTargets'> {
  const rows = new Int32Array(objectOffsets[images.length]);
  for (const [s, image] of images.entries()) {
    const first = source.firstRow(image);
    for (let row = objectOffsets[s]; row < objectOffsets[s + 1]; row++) rows[row] = first + row - objectOffsets[s];
  }
  const targets = masks.rows.map((row) => rows[row]);
  for (const { row, by } of masks.replaced) rows[row] = by === undefined ? -1 : source.firstRow(by.image) + by.object;
  return { featureTargets: new Float32Array(0), residentRows: rows, residentTargets: targets };
}

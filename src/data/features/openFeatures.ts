import { stat } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { openFeatureTsv } from './featureTsv.js';
import type { FeatureTsvOptions } from './featureTsv.js';
import { withImageIds } from './featureSource.js';
import type {
  FeatureReader,
  FeatureSource,
  ResidentReader,
  SharedFeatures,
  SharedMerged,
  SharedObjects,
} from './featureSource.js';
import { Growable } from '../growable.js';
import { MemoryReader } from './memoryFeatures.js';
import { sharedArrays } from '../sharedArrays.js';
import { TableReader } from './tableReader.js';
import { reopenTsv } from './tsvReader.js';

/** Opens features of whatever form lies at `path`. Rejects as `openFeatureTsv` does. */
export async function openFeatures(path: string, options: FeatureTsvOptions = {}): Promise<FeatureSource> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(path, 'image features', error);
  });
  if (found.isDirectory()) {
    throw new LxmertError('UNSUPPORTED', `${path}: is a folder; features are read from a TSV file`);
  }
  return openFeatureTsv(path, options);
}

/**
 * Several sources as one, as the original puts the images of all splits into one table. An image that more than one
 * source has is taken from the first. Closing it closes them. Throws BAD_DATA when their feature widths differ.
 */
export function mergeSources(sources: readonly FeatureSource[]): FeatureSource {
  if (sources.length === 1) return sources[0];
  const [first] = sources;
  const imageIds: string[] = [];
  const positions = new Map<string, number>();
  const partOf = new Growable(sharedArrays.uint32);
  const imageOf = new Growable(sharedArrays.int32);
  for (const [part, source] of sources.entries()) {
    if (source.featureDim !== first.featureDim) {
      throw new LxmertError(
        'BAD_DATA',
        `features must be of one width: ${first.path} has ${first.featureDim} floats an object, ` +
          `${source.path} has ${source.featureDim}`,
      );
    }
    for (const [image, imageId] of source.imageIds.entries()) {
      if (positions.has(imageId)) continue;
      positions.set(imageId, imageIds.length);
      imageIds.push(imageId);
      partOf.push(part);
      imageOf.push(image);
    }
  }
  const places = { partOf: partOf.finish(), imageOf: imageOf.finish() };
  return withImageIds(mergeReaders(sources, places), imageIds, positions);
}

/** Opens in this thread what another one shares. Rejects as opening the files does. */
export async function openShared(shared: SharedObjects): Promise<FeatureReader | ResidentReader> {
  return shared.form === 'resident' ? new TableReader(shared) : openSharedFeatures(shared);
}

/** Of features alone. Rejects likewise. */
export async function openSharedFeatures(shared: SharedFeatures): Promise<FeatureReader> {
  if (shared.form === 'memory') return new MemoryReader(shared);
  if (shared.form === 'tsv') return reopenTsv(shared);
  const opened: FeatureReader[] = [];
  try {
    for (const part of shared.parts) opened.push(await openSharedFeatures(part));
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
  return mergeReaders(opened, shared);
}

function mergeReaders(
  readers: readonly FeatureReader[],
  { partOf, imageOf }: Pick<SharedMerged, 'partOf' | 'imageOf'>,
): FeatureReader {
  return {
    path: readers.map((reader) => reader.path).join(', '),
    featureDim: readers[0].featureDim,
    shared: { form: 'merged', parts: readers.map((reader) => reader.shared), partOf, imageOf },
    placeOf: (image) => readers[partOf[image]].placeOf(imageOf[image]),
    numObjects: (image) => readers[partOf[image]].numObjects(imageOf[image]),
    read: (image, rows, row) => readers[partOf[image]].read(imageOf[image], rows, row),
    readFeature: (image, object, features, offset) =>
      readers[partOf[image]].readFeature(imageOf[image], object, features, offset),
    close: () => closeAll(readers),
  };
}

async function closeAll(readers: readonly FeatureReader[]): Promise<void> {
  await Promise.all(readers.map((reader) => reader.close()));
}

import { LxmertError } from '../../errors.js';
import { allSettled, inGroups } from '../concurrency.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';
import { featureSource } from './featureSource.js';
import type {
  FeatureReader,
  FeatureSource,
  ObjectReader,
  ResidentReader,
  SharedFeatures,
  SharedMerged,
  SharedObjects,
} from './featureSource.js';
import { MemoryReader } from './memoryFeatures.js';
import { openStoreReader } from '../store/storeReader.js';
import { TableReader } from './tableReader.js';
import { reopenTsv } from './tsvReader.js';

/**
 * Joins several sources to one, as the original puts the images of all splits into one table. If several sources have an
 * image, the first of them is used. Closing the joined reader closes all readers. Throws BAD_DATA if feature widths differ.
 */
export function mergeSources(sources: readonly FeatureSource[]): FeatureSource {
  if (sources.length === 1) return sources[0];
  const [first] = sources;
  const imageIds: string[] = [];
  const positions = new Map<string, number>();
  const partOf = new Growable(sharedArrays.uint32);
  const imageOf = new Growable(sharedArrays.int32);
  for (const [part, source] of sources.entries()) {
    demandSameWidth(first.reader, source.reader);
    for (const [image, imageId] of source.imageIds.entries()) {
      if (positions.has(imageId)) continue;
      positions.set(imageId, imageIds.length);
      imageIds.push(imageId);
      partOf.push(part);
      imageOf.push(image);
    }
  }
  const places = { partOf: partOf.finish(), imageOf: imageOf.finish() };
  const readers = sources.map(({ reader }) => reader);
  const labels = sources.map((source) => source.labels);
  return {
    ...featureSource(mergeReaders(readers, places), imageIds, positions),
    lacks: {
      objectClasses: sources.some(({ lacks }) => lacks?.objectClasses),
      attributeClasses: sources.some(({ lacks }) => lacks?.attributeClasses),
    },
    labels: {
      objects: Math.max(...labels.map((one) => one?.objects ?? 0)),
      attributes: Math.max(...labels.map((one) => one?.attributes ?? 0)),
    },
  };
}

/** @throws BAD_DATA naming both files if their features have different widths */
export function demandSameWidth(a: ObjectReader, b: ObjectReader): void {
  if (a.featureDim === b.featureDim) return;
  throw new LxmertError(
    'BAD_DATA',
    `features must have the same width: ${a.path} has ${a.featureDim} floats an object, ${b.path} has ${b.featureDim}`,
  );
}

/** Opens, in this thread, the images of a reader of another thread. Rejects with the errors of opening the files. */
export async function openShared(shared: SharedObjects): Promise<FeatureReader | ResidentReader> {
  return shared.form === 'resident' ? new TableReader(shared) : openSharedFeatures(shared);
}

/** Like `openShared`, but only for readers with features. */
export async function openSharedFeatures(shared: SharedFeatures): Promise<FeatureReader> {
  if (shared.form === 'memory') return new MemoryReader(shared);
  if (shared.form === 'tsv') return reopenTsv(shared);
  if (shared.form === 'store') return openStoreReader(shared);
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
    readAll: async (images, rows, starts) => {
      const all = Array.from(images);
      await allSettled(
        readers.map(async (reader, part) => {
          const mine = [...all.keys()].filter((i) => partOf[all[i]] === part);
          const [there, rowsOfMine] = [mine.map((i) => imageOf[all[i]]), mine.map((i) => starts[i])];
          if (reader.readAll) await reader.readAll(there, rows, rowsOfMine);
          else await inGroups(mine.length, (i) => reader.read(there[i], rows, rowsOfMine[i]));
        }),
      );
    },
    readFeature: (image, object, features, offset) =>
      readers[partOf[image]].readFeature(imageOf[image], object, features, offset),
    close: () => closeAll(readers),
  };
}

async function closeAll(readers: readonly FeatureReader[]): Promise<void> {
  await Promise.all(readers.map((reader) => reader.close()));
}

import { stat } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { readFailure } from './describe.js';
import { openFeatureTsv } from './featureTsv.js';
import type { FeatureTsvOptions } from './featureTsv.js';
import type { FeatureSource, ObjectRows } from './featureSource.js';

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
  const places: { source: FeatureSource; image: number }[] = [];
  for (const source of sources) {
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
      places.push({ source, image });
    }
  }
  return {
    path: sources.map((source) => source.path).join(', '),
    featureDim: first.featureDim,
    numImages: imageIds.length,
    imageIds,
    indexOf: (imageId) => positions.get(imageId) ?? -1,
    numObjects: (image) => places[image].source.numObjects(places[image].image),
    read: (image, rows: ObjectRows, row) => places[image].source.read(places[image].image, rows, row),
    readFeature: (image, object, features, offset) =>
      places[image].source.readFeature(places[image].image, object, features, offset),
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

import { allocateObjectRows } from '../../../src/data/features/featureSource.js';
import type { FeatureSource, ObjectRows } from '../../../src/data/features/featureSource.js';

/** The detected objects of one image. */
interface ImageRecord extends ObjectRows {
  readonly imageId: string;
  readonly numObjects: number;
}

/** Reads one image into new arrays. */
export async function readImage(
  { reader, imageIds }: Pick<FeatureSource, 'reader' | 'imageIds'>,
  image: number,
): Promise<ImageRecord> {
  const numObjects = reader.numObjects(image);
  const rows = allocateObjectRows(numObjects, reader.featureDim);
  await reader.read(image, rows, 0);
  return { imageId: imageIds[image], numObjects, ...rows };
}

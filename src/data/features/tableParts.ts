import { floatsToHalves } from '../../formats/dtypes.js';
import { withWayOut } from './damage.js';
import type { FeatureReader, ObjectRows } from './featureSource.js';
import { inGroups } from '../concurrency.js';

/** Some images of one set, whose objects are neighbours in a table of features. */
export interface TablePart {
  /** Which of the sets. */
  readonly set: number;
  /** Positions in the set's features, in the order of their rows. */
  readonly images: readonly number[];
  /** Row of the first one's first object, and rows of all. */
  readonly firstRow: number;
  readonly rows: number;
}

/** A number that float16 does not have, and its place among those of its part. */
export interface BeyondHalf {
  readonly place: number;
  readonly value: number;
}

/** Reads a part: its features into `halves`, all else to its place. */
export type ReadPart = (part: TablePart, halves: Uint16Array) => Promise<BeyondHalf | undefined>;

/** What reading needs, wherever it is done. */
export interface TablePlan {
  /** Where boxes, classes and confidences go: shared memory, as the table has its rows; without features. */
  readonly detections: ObjectRows;
  /** Rows of the largest part. */
  readonly mostRows: number;
}

/** For one part at a time: its features go through one buffer. */
export function partReader(readers: readonly FeatureReader[], { detections, mostRows }: TablePlan): ReadPart {
  const width = readers[0].featureDim;
  const features = new Float32Array(mostRows * width);
  return async ({ set, images, firstRow, rows: count }, halves) => {
    const reader = readers[set];
    const into: ObjectRows = {
      features,
      boxes: detections.boxes.subarray(firstRow * 4),
      objectIds: detections.objectIds.subarray(firstRow),
      objectConfs: detections.objectConfs.subarray(firstRow),
      attrIds: detections.attrIds.subarray(firstRow),
      attrConfs: detections.attrConfs.subarray(firstRow),
    };
    let end = 0;
    const starts = images.map((image) => (end += reader.numObjects(image)) - reader.numObjects(image));
    await inGroups(images.length, (i) =>
      reader.read(images[i], into, starts[i]).catch((error: unknown) => {
        throw withWayOut(error);
      }),
    );
    const numbers = features.subarray(0, count * width);
    const place = floatsToHalves(numbers, halves);
    return place < 0 ? undefined : { place, value: numbers[place] };
  };
}

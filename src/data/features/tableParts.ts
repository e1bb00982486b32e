import { floatsToHalves } from '../../formats/dtypes.js';
import { withWayOut } from './damage.js';
import type { FeatureReader, ObjectRows } from './featureSource.js';
import { inGroups } from '../concurrency.js';

/** Several images of one set. Their objects are adjacent rows of a table of features. */
export interface TablePart {
  /** The number of the set. */
  readonly set: number;
  /** Positions of the images in the set's features, in the order of their rows in the table. */
  readonly images: readonly number[];
  /** The first row of the part, and its number of rows. */
  readonly firstRow: number;
  readonly rows: number;
}

/** A number that is too large for float16, and its index among the numbers of its part. */
export interface BeyondHalf {
  readonly place: number;
  readonly value: number;
}

/** Reads a part: writes its features to `halves`, and all other values to the rows of `TablePlan.detections`. */
export type ReadPart = (part: TablePart, halves: Uint16Array) => Promise<BeyondHalf | undefined>;

/** The values that a thread needs to read parts. */
export interface TablePlan {
  /** Shared memory for boxes, classes and confidences, in the order of the table's rows. */
  readonly detections: ObjectRows;
  /** Rows of the largest part. */
  readonly mostRows: number;
}

/** Makes a function that reads one part at a time, with one buffer for the features. */
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

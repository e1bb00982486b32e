import { LxmertError } from '../../errors.js';
import type { NamedData } from '../batches/batchMaker.js';
import type { FeatureReader, ObjectRows, SharedResident } from './featureSource.js';
import { sharedArrays } from '../sharedArrays.js';
import { tablePieces } from './tablePieces.js';
import type { ReadTableOptions } from './tablePieces.js';
import type { TablePart } from './tableParts.js';
import { TableReader } from './tableReader.js';

/** Row numbers have 32 bits. */
const MOST_ROWS = 2 ** 31 - 1;
const PIECE_BYTES = 16 * 2 ** 20;

/** Features that are to be kept on a device, as a table of float16. */
export interface FeatureTable {
  /** Objects. */
  readonly rows: number;
  readonly featureDim: number;
  /** Number of objects that are also in an earlier set. They have no separate rows. */
  readonly sharedRows: number;
  /**
   * Reads the features and gives the table's rows in order, some at a time, as bits of float16: [any, featureDim]. Rows
   * that it has given are overwritten when more rows are requested. Rejects with BAD_DATA naming file, line and image,
   * also if a number is too large for float16.
   */
  pieces(): AsyncGenerator<Uint16Array, void, undefined>;
}

/** The data, whose batches contain row numbers of the table. */
export interface ResidentData {
  readonly table: FeatureTable;
  /** One for each given set, in the same order. They are ready when all pieces have been read. */
  readonly sets: readonly NamedData[];
}

/** Samples whose features are read from files. */
export interface ResidentSet extends NamedData {
  readonly features: FeatureReader;
  /** Names of the images, by position in `features`. */
  readonly imageIds: readonly string[];
  readonly featureDim: number;
}

/** The images of a set that are in the table, and their rows. */
type Places = Pick<SharedResident, 'firstRows' | 'numObjects'>;

/** The layout of the table. */
interface Layout {
  /** The places of each set. */
  readonly places: readonly Places[];
  readonly parts: readonly TablePart[];
  readonly rows: number;
  readonly sharedRows: number;
  /** Rows of the largest part. */
  readonly mostRows: number;
}

/**
 * Plans the table for the images that the samples of some sets use, in the order of the files. If two sets use the same
 * image of a file, the table has it once. Boxes, classes and confidences stay in host memory: 32 bytes for each object.
 * This function does not read features.
 * @throws UNSUPPORTED if there are more objects than row numbers
 */
export function residentFeatures(sets: readonly ResidentSet[], options: ReadTableOptions = {}): ResidentData {
  const { featureDim } = sets[0];
  const { pieceBytes = PIECE_BYTES } = options;
  const { places, parts, rows, sharedRows, mostRows } = layOut(sets, Math.floor(pieceBytes / (4 * featureDim)));
  if (rows > MOST_ROWS)
    throw new LxmertError(
      'UNSUPPORTED',
      `residentFeatures: ${rows} objects, at most ${MOST_ROWS} can be numbered; name fewer splits, or leave it out`,
    );
  const detections: ObjectRows = {
    features: sharedArrays.float32(0),
    boxes: sharedArrays.float32(rows * 4),
    objectIds: sharedArrays.int32(rows),
    objectConfs: sharedArrays.float32(rows),
    attrIds: sharedArrays.int32(rows),
    attrConfs: sharedArrays.float32(rows),
  };
  const sources = sets.map(({ features: reader, imageIds }) => ({ reader, imageIds }));
  const pieces = () => tablePieces(sources, parts, { detections, mostRows }, options);
  return {
    table: { rows, featureDim, sharedRows, pieces },
    sets: sets.map((data, i) => {
      const { path } = data.features;
      const shared = { form: 'resident', path, featureDim, rows: detections, ...places[i] } as const;
      return { ...data, features: new TableReader(shared) };
    }),
  };
}

/** Assigns rows to each used image, and divides the rows into parts of whole images, of at most `most` rows if possible. */
function layOut(sets: readonly ResidentSet[], most: number): Layout {
  const parts: TablePart[] = [];
  const known = new Map<string, number>();
  let [end, sharedRows, mostRows] = [0, 0, 1];
  const places = sets.map(({ features, imageIds, images: shownBySamples, skippedImages }, set): Places => {
    const numImages = imageIds.length;
    const firstRows = sharedArrays.int32(numImages).fill(-1);
    const numObjects = sharedArrays.int32(numImages);
    const shown = new Uint8Array(numImages);
    for (const image of shownBySamples) shown[image] = 1;
    let part = { set, images: [] as number[], firstRow: end, rows: 0 };
    const cut = () => {
      if (part.rows > 0) parts.push(part);
      mostRows = Math.max(mostRows, part.rows);
      part = { set, images: [], firstRow: end, rows: 0 };
    };
    for (let image = 0; image < numImages; image++) {
      const count = (numObjects[image] = features.numObjects(image));
      if (shown[image] === 0 || skippedImages?.[image] === 1) continue;
      const key = keyOf(features, imageIds, image);
      const there = known.get(key);
      firstRows[image] = there ?? end;
      if (there !== undefined) {
        sharedRows += count;
        continue;
      }
      known.set(key, end);
      if (part.rows + count > most) cut();
      part.images.push(image);
      part.rows += count;
      end += count;
    }
    cut();
    return { firstRows, numObjects };
  });
  return { places, parts, rows: end, sharedRows, mostRows };
}

/** A key of an image. Ids are unique within a file. */
const keyOf = (features: FeatureReader, imageIds: readonly string[], image: number) =>
  `${features.placeOf(image)}\n${imageIds[image]}`;

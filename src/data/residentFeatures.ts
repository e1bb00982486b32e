import { LxmertError } from '../errors.js';
import { floatsToHalves } from '../formats/dtypes.js';
import type { NamedData } from './assembler.js';
import { describeValue } from './describe.js';
import type { FeatureSource, ObjectRows, SharedResident } from './featureSource.js';
import { inGroups } from './inGroups.js';
import type { PretrainData } from './pretrainData.js';
import { sharedArrays } from './sharedArrays.js';
import { TableReader } from './tableReader.js';

/** Rows go by 32-bit numbers. */
const MOST_ROWS = 2 ** 31 - 1;
/** Bytes that are read at a time, as float32. */
const PIECE_BYTES = 16 * 2 ** 20;

/** Features that are to be kept on a device, as a table of float16. */
export interface FeatureTable {
  /** Objects. */
  readonly rows: number;
  readonly featureDim: number;
  /**
   * Reads the features and gives the table's rows, in order, some at a time, as bits of float16: [any, featureDim]. What
   * it gave is overwritten when more is asked for. Rejects with BAD_DATA naming file, line and image, also where a number
   * is too large for float16.
   */
  pieces(): AsyncGenerator<Uint16Array, void, undefined>;
}

/** Data whose batches name rows of a table. */
export interface ResidentData {
  readonly table: FeatureTable;
  /** As the sets that were given; ready when all pieces have been taken. */
  readonly sets: readonly NamedData[];
}

/** Which images of a set are in the table, and where. */
type Places = Pick<SharedResident, 'firstRows' | 'numObjects'>;

/**
 * Plans the table for the images that the samples of some sets show, in the order of their files; an image that two sets
 * show is in it twice. Boxes, classes and confidences stay in host memory, 32 bytes an object. Reads nothing yet.
 * @throws UNSUPPORTED for more objects than rows can be numbered
 */
export function residentFeatures(sets: readonly PretrainData[]): ResidentData {
  const { featureDim } = sets[0];
  let end = 0;
  const places = sets.map(({ features, images }): Places => {
    const firstRows = sharedArrays.int32(features.numImages).fill(-1);
    const numObjects = sharedArrays.int32(features.numImages);
    const shown = new Uint8Array(features.numImages);
    for (const image of images) shown[image] = 1;
    for (let image = 0; image < features.numImages; image++) {
      numObjects[image] = features.numObjects(image);
      if (shown[image] === 0) continue;
      firstRows[image] = end;
      end += numObjects[image];
    }
    return { firstRows, numObjects };
  });
  if (end > MOST_ROWS)
    throw new LxmertError('UNSUPPORTED', `residentFeatures: ${end} objects, at most ${MOST_ROWS} can be numbered`);
  const rows: ObjectRows = {
    features: sharedArrays.float32(0),
    boxes: sharedArrays.float32(end * 4),
    objectIds: sharedArrays.int32(end),
    objectConfs: sharedArrays.float32(end),
    attrIds: sharedArrays.int32(end),
    attrConfs: sharedArrays.float32(end),
  };
  const sources = sets.map(({ features }, i) => ({ source: features, ...places[i] }));
  return {
    table: { rows: end, featureDim, pieces: () => piecesOf(sources, rows) },
    sets: sets.map((data, i) => {
      const { path } = data.features;
      return { ...data, features: new TableReader({ form: 'resident', path, featureDim, rows, ...places[i] }) };
    }),
  };
}

type PlacedSource = Places & { readonly source: FeatureSource };

/** Images one after the other: features into a buffer, converted and given; all else into `rows`. */
async function* piecesOf(
  sources: readonly PlacedSource[],
  rows: ObjectRows,
): AsyncGenerator<Uint16Array, void, undefined> {
  const width = sources[0].source.featureDim;
  const largest = sources.reduce((most, { numObjects }) => numObjects.reduce((a, b) => Math.max(a, b), most), 1);
  const most = Math.max(largest, Math.floor(PIECE_BYTES / (4 * width)));
  const features = new Float32Array(most * width);
  // Shared memory is uploaded where it lies; other memory would be copied first.
  const halves = sharedArrays.uint16(most * width);
  for (const placed of sources)
    for (const images of groupsOf(placed, most)) {
      const count = await readImages(placed, images, { ...rows, features });
      const bad = floatsToHalves(features.subarray(0, count * width), halves);
      if (bad >= 0) throw tooLarge(placed, images, { place: bad, value: features[bad] });
      yield halves.subarray(0, count * width);
    }
}

/** The images that are in the table, in order, as many together as have at most `most` rows. */
function* groupsOf({ firstRows, numObjects }: Places, most: number): Generator<number[]> {
  let images: number[] = [];
  let count = 0;
  for (let image = 0; image < firstRows.length; image++) {
    if (firstRows[image] < 0) continue;
    if (count + numObjects[image] > most) {
      yield images;
      images = [];
      count = 0;
    }
    images.push(image);
    count += numObjects[image];
  }
  if (count > 0) yield images;
}

/** Features go to the start of theirs, all else to its place in the table. Gives the number of rows. */
async function readImages(
  { source, firstRows, numObjects }: PlacedSource,
  images: readonly number[],
  rows: ObjectRows,
): Promise<number> {
  const first = firstRows[images[0]];
  const from: ObjectRows = {
    features: rows.features,
    boxes: rows.boxes.subarray(first * 4),
    objectIds: rows.objectIds.subarray(first),
    objectConfs: rows.objectConfs.subarray(first),
    attrIds: rows.attrIds.subarray(first),
    attrConfs: rows.attrConfs.subarray(first),
  };
  await inGroups(images.length, (i) => source.read(images[i], from, firstRows[images[i]] - first));
  const last = images[images.length - 1];
  return firstRows[last] + numObjects[last] - first;
}

function tooLarge(
  { source, firstRows }: PlacedSource,
  images: readonly number[],
  { place, value }: { readonly place: number; readonly value: number },
): LxmertError {
  const row = firstRows[images[0]] + Math.floor(place / source.featureDim);
  const image = images.findLast((one) => firstRows[one] <= row)!;
  return new LxmertError(
    'BAD_DATA',
    `${source.placeOf(image)}: features of image ${describeValue(source.imageIds[image])} have ${value} for object ` +
      `${row - firstRows[image]}, value ${place % source.featureDim}; float16 goes to 65504. Leave residentFeatures out`,
  );
}

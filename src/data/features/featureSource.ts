/** Arrays with one row for each detected object, for the objects of many images. */
export interface ObjectRows {
  /** RoI features: [rows × featureDim]. */
  readonly features: Float32Array;
  /** x0, y0, x1, y1 as shares of the picture: [rows × 4]. */
  readonly boxes: Float32Array;
  /** Object class and its confidence: [rows]. */
  readonly objectIds: Int32Array;
  readonly objectConfs: Float32Array;
  /** Attribute class and its confidence: [rows]. */
  readonly attrIds: Int32Array;
  readonly attrConfs: Float32Array;
}

/** Reads the detected objects of images by their position. */
export interface ObjectReader {
  /** The file or folder, for messages. */
  readonly path: string;
  /** Number of floats in the feature of one object. */
  readonly featureDim: number;
  /** With this value another thread can open a reader of the same images (`openShared`). */
  readonly shared: SharedObjects;
  /** Number of objects of an image. The image is not read for this. */
  numObjects(image: number): number;
  /** Reads all objects of an image into `rows`, from row `row` on. Rejects with BAD_DATA naming line and field. */
  read(image: number, rows: ObjectRows, row: number): Promise<void>;
  /** May be called more than once. */
  close(): Promise<void>;
}

/** A reader that also reads the features. */
export interface FeatureReader extends ObjectReader {
  readonly shared: SharedFeatures;
  /** The place of an image for messages: its file, and the line if the file has lines. */
  placeOf(image: number): string;
  /** Reads several images at once, image i into `rows` from row `starts[i]` on. If absent, images are read one by one. */
  readAll?(images: ArrayLike<number>, rows: ObjectRows, starts: ArrayLike<number>): Promise<void>;
  /** Reads the feature of one object into `features` from `offset` on. */
  readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void>;
}

/** A reader of images whose features are rows of a table on the device. Its `read` does not write features. */
export interface ResidentReader extends ObjectReader {
  /** Row of an image's first object; its other objects are in the rows after it. */
  firstRow(image: number): number;
}

/**
 * The images of one or more files: a reader and the names of the images. An image is referred to by its position, so a
 * sample needs four bytes for it.
 */
export interface FeatureSource {
  readonly reader: FeatureReader;
  /** The ids of the images, by position. */
  readonly imageIds: readonly string[];
  /** Remarks about properties of the file that are unusual but may be right. */
  readonly remarks?: readonly string[] | undefined;
  /** Fields that some of its images do not have; absent if all images have all fields. */
  readonly lacks?: { readonly objectClasses: boolean; readonly attributeClasses: boolean } | undefined;
  /** Numbers of classes that the file declares; absent if it declares none. */
  readonly labels?: { readonly objects: number; readonly attributes: number } | undefined;
  /** Position of an image, or -1 if the source does not have it. */
  indexOf(imageId: string): number;
}

/** The contents of a reader: plain values and arrays in shared memory, which can be sent to another thread. */
export type SharedFeatures = SharedMemory | SharedTsv | SharedStore | SharedMerged;
export type SharedObjects = SharedFeatures | SharedResident;

export interface SharedResident {
  readonly form: 'resident';
  readonly path: string;
  readonly featureDim: number;
  /** Boxes, classes and confidences in the order of the table's rows, without features. */
  readonly rows: ObjectRows;
  /** For each image, [images]: its first row, or -1 if no sample has this image; and its number of rows. */
  readonly firstRows: Int32Array;
  readonly numObjects: Int32Array;
}

export interface SharedMemory {
  readonly form: 'memory';
  readonly path: string;
  readonly featureDim: number;
  readonly rows: ObjectRows;
  /** First row of each image, and the number of rows: [images + 1]. */
  readonly rowOffsets: Float64Array;
  /** Images that could not be read, with the message of the error. Their values in `rows` are zeros. */
  readonly damaged?: ReadonlyMap<number, string> | undefined;
  /** The line of each image, [images]; absent if the source has no lines. */
  readonly lines?: Uint32Array | undefined;
}

export interface SharedTsv {
  readonly form: 'tsv';
  readonly path: string;
  readonly featureDim: number;
  /** Numbers of classes of the detector. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly index: TsvIndex;
  /** Size and time of the file when it was indexed. */
  readonly size: number;
  readonly modified: number;
}

/** The places of images in a TSV. Each array has one number for each image. */
export interface TsvIndex {
  /** Line numbers from 1. Blank lines are counted. */
  readonly lines: Uint32Array;
  /** Byte offset and length of each image's line, and of the features in the file. */
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  readonly featureOffsets: Float64Array;
  readonly numBoxes: Int32Array;
  /** The image ids one after the other, in UTF-8; image i has `idOffsets[i] … idOffsets[i + 1] - 1`. */
  readonly ids: Uint8Array;
  readonly idOffsets: Uint32Array;
}

export interface SharedStore {
  readonly form: 'store';
  /** The folder of the store. */
  readonly path: string;
  readonly featureDim: number;
  readonly dtype: 'float16' | 'float32';
  readonly index: StoreIndex;
  readonly shards: readonly SharedStoreShard[];
  /** Whether the checksum of each image is compared when the image is read. */
  readonly verify: boolean;
}

export interface SharedStoreShard {
  readonly file: string;
  readonly bytes: number;
  /** Position of the first byte of each tensor in the file. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** The places and fields of the images of a store: arrays in shared memory, [images]. */
export interface StoreIndex {
  /** The ids one after the other, in UTF-8; image i has `idOffsets[i] … idOffsets[i + 1] - 1`. */
  readonly ids: Uint8Array;
  readonly idOffsets: Uint32Array;
  /** For each image its shard, its first row in the shard, and its number of objects. */
  readonly shards: Int32Array;
  readonly rows: Int32Array;
  readonly counts: Int32Array;
  /** Size of each picture in pixels; 0 if it is not known. */
  readonly widths: Int32Array;
  readonly heights: Int32Array;
  /** The fields that each image has, as bits (`fieldBits`). */
  readonly fields: Uint8Array;
  /** CRC-32 of the bytes of each image in its shard: features, boxes, and the fields that the image has. */
  readonly crcs: Uint32Array;
}

export interface SharedMerged {
  readonly form: 'merged';
  readonly parts: readonly SharedFeatures[];
  /** For each image the part that has it, and its position in this part. */
  readonly partOf: Uint32Array;
  readonly imageOf: Int32Array;
}

/** Makes a source from its parts. */
export function featureSource(
  reader: FeatureReader,
  imageIds: readonly string[],
  positions: ReadonlyMap<string, number> = new Map(imageIds.map((id, i) => [id, i])),
): FeatureSource {
  return { reader, imageIds, indexOf: (imageId) => positions.get(imageId) ?? -1 };
}

export function allocateObjectRows(
  rows: number,
  featureDim: number,
  allocate: (length: number) => Float32Array = (length) => new Float32Array(length),
): ObjectRows {
  return {
    features: allocate(rows * featureDim),
    boxes: new Float32Array(rows * 4),
    objectIds: new Int32Array(rows),
    objectConfs: new Float32Array(rows),
    attrIds: new Int32Array(rows),
    attrConfs: new Float32Array(rows),
  };
}

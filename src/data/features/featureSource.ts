/** Where the detected objects of one image go: rows `row` and on of arrays that hold many images' objects. */
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
  /** File or folder, for messages. */
  readonly path: string;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  /** From it another thread opens a reader of the same images (`openShared`). */
  readonly shared: SharedObjects;
  /** Objects of an image; known without reading it. */
  numObjects(image: number): number;
  /** Reads all of an image into `rows` from row `row` on. Rejects with BAD_DATA naming line and field. */
  read(image: number, rows: ObjectRows, row: number): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** One that has the features. */
export interface FeatureReader extends ObjectReader {
  readonly shared: SharedFeatures;
  /** Where an image is written, for messages: its file, and the line if it has one. */
  placeOf(image: number): string;
  /** Reads some images at once, each into `rows` from its start on; absent: they are read one by one. */
  readAll?(images: ArrayLike<number>, rows: ObjectRows, starts: ArrayLike<number>): Promise<void>;
  /** Reads the feature of one object into `features` from `offset` on. */
  readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void>;
}

/** One whose features are rows of a table on the device: `read` leaves those of `rows` alone. */
export interface ResidentReader extends ObjectReader {
  /** Row of an image's first object; the others follow it. */
  firstRow(image: number): number;
}

/**
 * The images of one or more files: a reader (of a TSV, of memory) and the images' names. Images go by their position, so
 * samples need four bytes for theirs.
 */
export interface FeatureSource {
  readonly reader: FeatureReader;
  /** By position. */
  readonly imageIds: readonly string[];
  /** What looks odd in the file but may be right, a clause each. */
  readonly remarks?: readonly string[] | undefined;
  /** What some of its images do not have; absent: nothing. */
  readonly lacks?: { readonly objectClasses: boolean; readonly attributeClasses: boolean } | undefined;
  /** Classes that it declares; absent: what the reader was told. */
  readonly labels?: { readonly objects: number; readonly attributes: number } | undefined;
  /** Position of an image, or -1 when it is not here. */
  indexOf(imageId: string): number;
}

/** What a reader is made of: plain values and arrays in shared memory, so a message carries it to another thread. */
export type SharedFeatures = SharedMemory | SharedTsv | SharedStore | SharedMerged;
export type SharedObjects = SharedFeatures | SharedResident;

export interface SharedResident {
  readonly form: 'resident';
  readonly path: string;
  readonly featureDim: number;
  /** As the table has its rows; without features. */
  readonly rows: ObjectRows;
  /** Of each image, [images]: its first row, -1 where no sample shows it, and how many it has. */
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
  /** Images that could not be read, with the message of the error; they are zeros in `rows`. */
  readonly damaged?: ReadonlyMap<number, string> | undefined;
  /** Of each image, [images]; absent where the source has no lines. */
  readonly lines?: Uint32Array | undefined;
}

export interface SharedTsv {
  readonly form: 'tsv';
  readonly path: string;
  readonly featureDim: number;
  /** Classes that the detector knows. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly index: TsvIndex;
  /** Of the file when it was indexed. */
  readonly size: number;
  readonly modified: number;
}

/** Where the images of a TSV lie: one number an image. */
export interface TsvIndex {
  /** From 1; blank lines count. */
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
  /** The folder. */
  readonly path: string;
  readonly featureDim: number;
  readonly dtype: 'float16' | 'float32';
  readonly index: StoreIndex;
  readonly shards: readonly SharedStoreShard[];
  /** Whether each image's checksum is compared when it is read. */
  readonly verify: boolean;
}

export interface SharedStoreShard {
  readonly file: string;
  readonly bytes: number;
  /** First byte of each tensor in the file. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** Where the images of a store lie, and what each has: arrays in shared memory, [images]. */
export interface StoreIndex {
  /** The ids one after the other, in UTF-8; image i has `idOffsets[i] … idOffsets[i + 1] - 1`. */
  readonly ids: Uint8Array;
  readonly idOffsets: Uint32Array;
  /** Shard, first row in it, and objects of each image. */
  readonly shards: Int32Array;
  readonly rows: Int32Array;
  readonly counts: Int32Array;
  /** Of the picture in pixels; 0 where it is not known. */
  readonly widths: Int32Array;
  readonly heights: Int32Array;
  /** What each image has, a bit each (`fieldBits`). */
  readonly fields: Uint8Array;
  /** CRC-32 of the image's numbers as they lie in the shard: features, boxes, and the fields that it has. */
  readonly crcs: Uint32Array;
}

export interface SharedMerged {
  readonly form: 'merged';
  readonly parts: readonly SharedFeatures[];
  /** Part that has an image, and its position there. */
  readonly partOf: Uint32Array;
  readonly imageOf: Int32Array;
}

/** A source from its parts. */
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

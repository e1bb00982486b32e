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

/** The detected objects of one image. */
export interface ImageRecord extends ObjectRows {
  readonly imageId: string;
  readonly numObjects: number;
}

/**
 * The detected objects of a set of images, kept somewhere (a TSV, memory). Images go by their position in `imageIds`,
 * so samples need four bytes for theirs.
 */
export interface FeatureSource {
  /** File or folder, for messages. */
  readonly path: string;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  readonly numImages: number;
  readonly imageIds: readonly string[];
  /** Position of an image, or -1 when it is not here. */
  indexOf(imageId: string): number;
  /** Objects of an image; known without reading it. */
  numObjects(image: number): number;
  /** Reads all of an image into `rows` from row `row` on. Rejects with BAD_DATA naming line and field. */
  read(image: number, rows: ObjectRows, row: number): Promise<void>;
  /** Reads the feature of one object into `features` from `offset` on. */
  readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
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

/** Reads one image into arrays of its own. */
export async function readImage(source: FeatureSource, image: number): Promise<ImageRecord> {
  const numObjects = source.numObjects(image);
  const rows = allocateObjectRows(numObjects, source.featureDim);
  await source.read(image, rows, 0);
  return { imageId: source.imageIds[image], numObjects, ...rows };
}

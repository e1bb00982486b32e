import type { PictureSource } from './input/decode.js';
import type { Prepared } from './input/prepare.js';

/**
 * The objects that a detector found in a picture, the most certain first. A value that it does not give is undefined.
 */
export interface Detection {
  /** Size of the picture in pixels. */
  readonly width: number;
  readonly height: number;
  /** x1, y1, x2, y2 in pixels: [N × 4]. */
  readonly boxes: Float32Array;
  /** [N × featureDim]. */
  readonly features: Float32Array;
  /** Classes from 0, without the background. */
  readonly objectIds: BigInt64Array | undefined;
  readonly objectConf: Float32Array | undefined;
  readonly attrIds: BigInt64Array | undefined;
  readonly attrConf: Float32Array | undefined;
}

/** A picture that is ready for the detector. */
export interface PreparedPicture extends Prepared {
  /** For messages. */
  readonly path: string;
  /** Size in pixels of the picture before it was resized. */
  readonly original: { readonly width: number; readonly height: number };
}

/** The description of a detector in its file. The detector itself is not loaded. */
export interface DetectorDescription {
  /** All values on which the features depend, as text. Features of two identities must not be in one file. */
  readonly identity: string;
  /** Numbers of classes and of attributes; undefined if the detector does not give them. */
  readonly objects: number | undefined;
  readonly attributes: number | undefined;
  /**
   * Decodes and resizes a picture.
   * @throws as `decodePicture`; BAD_DATA for a picture too narrow to be resized
   */
  prepare(picture: PictureSource): Promise<PreparedPicture>;
}

export interface Detector extends DetectorDescription {
  /** @throws BAD_DATA naming the picture if there are fewer objects than requested, or a feature is not finite */
  detect(picture: PreparedPicture): Promise<Detection>;
  close(): Promise<void>;
}

export interface OpenDetectorOptions {
  /** CPU threads; 0 (default): all cores. */
  readonly threads?: number | undefined;
  /** Smallest and largest number of objects of a picture; default: those of the recipe. */
  readonly minObjects?: number | undefined;
  readonly maxObjects?: number | undefined;
  /** Objects with at least this score are taken, as far as the two numbers allow; default: the score of the recipe. */
  readonly threshold?: number | undefined;
  /**
   * Makes grid features of a backbone's map instead of objects. The value is the number of cells in a row and in a
   * column.
   */
  readonly grid?: number | undefined;
}

/** The part of a detection that a model takes: features, and boxes as shares of the picture. */
export function shownToModel({ features, boxes, width, height }: Detection): {
  readonly features: Float32Array;
  readonly boxes: Float32Array;
} {
  return { features, boxes: boxes.map((value, i) => value / (i % 2 === 0 ? width : height)) };
}

import type { PictureSource } from './input/decode.js';
import type { Prepared } from './input/prepare.js';

/** The objects that a detector found in a picture, the most certain first. What a detector does not tell is undefined. */
export interface Detection {
  /** Pixels of the picture. */
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
  /** Of the picture as it was. */
  readonly original: { readonly width: number; readonly height: number };
}

/** What a detector file says, without the detector. */
export interface DetectorDescription {
  /** What features depend on: those of two identities are not put into one file. */
  readonly identity: string;
  /** Counts of classes, where the detector tells them. */
  readonly objects: number | undefined;
  readonly attributes: number | undefined;
  /**
   * Decodes and resizes a picture.
   * @throws as `decodePicture`; BAD_DATA for a picture too narrow to be resized
   */
  prepare(picture: PictureSource): Promise<PreparedPicture>;
}

export interface Detector extends DetectorDescription {
  /** @throws BAD_DATA naming the picture when fewer objects are found than wanted, or a feature is not finite */
  detect(picture: PreparedPicture): Promise<Detection>;
  close(): Promise<void>;
}

export interface OpenDetectorOptions {
  /** CPU threads; 0 (default): all cores. */
  readonly threads?: number | undefined;
  /** Objects of a picture; default: as the recipe says. */
  readonly minObjects?: number | undefined;
  readonly maxObjects?: number | undefined;
  /** Objects that score this much are wanted, as far as the two counts allow; default: as the recipe says. */
  readonly threshold?: number | undefined;
  /** Instead of objects: the cells of a backbone's map, this many in a row and in a column. */
  readonly grid?: number | undefined;
}

/** The part of a detection that a model takes: features, and boxes as shares of the picture. */
export function shownToModel({ features, boxes, width, height }: Detection): {
  readonly features: Float32Array;
  readonly boxes: Float32Array;
} {
  return { features, boxes: boxes.map((value, i) => value / (i % 2 === 0 ? width : height)) };
}

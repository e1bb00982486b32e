import type { InferenceSession } from 'onnxruntime-node';
import { LxmertError } from '../errors.js';
import { decodePicture } from './input/decode.js';
import { ports } from './graph/detectorGraph.js';
import { loadOnnxRuntime } from './optionalPackages.js';
import { preparePicture, targetSize } from './input/prepare.js';
import type { Prepared } from './input/prepare.js';
import { readRecipe } from './recipe.js';
import type { Recipe } from './recipe.js';

/** The objects that a detector found in a picture, the most certain first. */
export interface Detection {
  /** Pixels of the picture. */
  readonly width: number;
  readonly height: number;
  /** x1, y1, x2, y2 in pixels: [N × 4]. */
  readonly boxes: Float32Array;
  /** [N × featureDim]. */
  readonly features: Float32Array;
  /** Classes from 0, without the background. */
  readonly objectIds: BigInt64Array;
  readonly objectConf: Float32Array;
  readonly attrIds: BigInt64Array;
  readonly attrConf: Float32Array;
}

/** A picture that is ready for the detector. */
export interface PreparedPicture extends Prepared {
  readonly path: string;
  /** Of the picture as it was. */
  readonly original: { readonly width: number; readonly height: number };
}

/** How many objects of a picture are wanted. */
export interface ObjectCounts {
  /** Fewer are an error. */
  readonly least: number;
  readonly most: number;
  /** Objects that score this much are wanted, as far as `least` and `most` allow. */
  readonly threshold: number;
}

export interface Detector {
  readonly recipe: Recipe;
  readonly counts: ObjectCounts;
  /**
   * Decodes and resizes a picture.
   * @throws as `decodePicture`; BAD_DATA for a picture too narrow to be resized
   */
  prepare(path: string): Promise<PreparedPicture>;
  /** @throws BAD_DATA naming the picture when fewer objects are found than wanted */
  detect(picture: PreparedPicture): Promise<Detection>;
  close(): Promise<void>;
}

export interface OpenDetectorOptions {
  /** CPU threads; 0 (default): all cores. */
  readonly threads?: number | undefined;
  /** Objects of a picture; default: as the recipe says. */
  readonly minObjects?: number | undefined;
  readonly maxObjects?: number | undefined;
  readonly threshold?: number | undefined;
}

/**
 * Opens a detector that `importDetector` made.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a file that is none; BAD_ARGUMENT; UNSUPPORTED when a package is not installed
 */
export async function openDetector(path: string, options: OpenDetectorOptions = {}): Promise<Detector> {
  const recipe = await readRecipe(path);
  const counts = countsOf(recipe, options);
  const session = await openSession(path, options.threads);
  const { Tensor } = await loadOnnxRuntime();
  const outputs = [ports.boxes, ports.features, ports.objectIds, ports.objectConf, ports.attrIds, ports.attrConf];
  return {
    recipe,
    counts,
    prepare: (picture) => prepare(picture, recipe),
    detect: async ({ path: picture, image, width, height, scale, original }) => {
      const inputs = {
        [ports.image]: new Tensor('float32', image, [1, 3, height, width]),
        [ports.scale]: new Tensor('float32', Float32Array.of(scale.y, scale.x), [2]),
        [ports.counts]: new Tensor('int64', BigInt64Array.of(BigInt(counts.least), BigInt(counts.most)), [2]),
        [ports.threshold]: new Tensor('float32', Float32Array.of(counts.threshold), [1]),
      };
      const results = await session.run(inputs, outputs);
      const floats = (name: string) => results[name].data as Float32Array;
      const ids = (name: string) => results[name].data as BigInt64Array;
      const boxes = floats(ports.boxes);
      demandEnough(boxes.length / 4, counts, picture);
      return {
        ...original,
        boxes,
        features: floats(ports.features),
        objectIds: ids(ports.objectIds),
        objectConf: floats(ports.objectConf),
        attrIds: ids(ports.attrIds),
        attrConf: floats(ports.attrConf),
      };
    },
    close: () => session.release(),
  };
}

/** Opens an ONNX graph. @throws BAD_DATA; UNSUPPORTED when onnxruntime is not installed */
export async function openSession(path: string, threads = 0): Promise<InferenceSession> {
  const { InferenceSession } = await loadOnnxRuntime();
  return InferenceSession.create(path, {
    intraOpNumThreads: threads,
    // Warnings on the graph concern the one who made it, not the one who runs it.
    logSeverityLevel: 3,
  }).catch((error: unknown) => {
    throw new LxmertError('BAD_DATA', `${path}: onnxruntime does not take it: ${messageOf(error)}`, { cause: error });
  });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function countsOf(
  { minDetections, maxDetections, threshold, postNms }: Recipe,
  { minObjects, maxObjects, threshold: given }: OpenDetectorOptions,
): ObjectCounts {
  const least = minObjects ?? Math.min(minDetections, maxObjects ?? minDetections);
  const most = maxObjects ?? Math.max(maxDetections, least);
  if (least > most)
    throw new LxmertError('BAD_ARGUMENT', `at least ${least} and at most ${most} objects of a picture cannot be had`);
  if (least > postNms)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${least} objects of a picture cannot be had: the detector has ${postNms} proposals`,
    );
  return { least, most, threshold: given ?? threshold };
}

/** @throws BAD_DATA naming the picture */
export function demandEnough(found: number, { least }: ObjectCounts, picture: string): void {
  if (found < least)
    throw new LxmertError('BAD_DATA', `${picture}: the detector finds ${found} objects; at least ${least} are wanted`);
}

async function prepare(path: string, recipe: Recipe): Promise<PreparedPicture> {
  const pixels = await decodePicture(path);
  const target = targetSize(pixels, recipe);
  if (Math.min(target.width, target.height) < 1)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: a picture of ${pixels.width} × ${pixels.height} pixels is too narrow: its shorter side would be resized to 0 pixels`,
    );
  const original = { width: pixels.width, height: pixels.height };
  return { path, original, ...preparePicture(pixels, target, recipe) };
}

/** The part of a detection that a model takes: features, and boxes as shares of the picture. */
export function shownToModel({ features, boxes, width, height }: Detection): {
  readonly features: Float32Array;
  readonly boxes: Float32Array;
} {
  return { features, boxes: boxes.map((value, i) => value / (i % 2 === 0 ? width : height)) };
}

import type { InferenceSession } from 'onnxruntime-node';
import { LxmertError } from '../errors.js';
import { decodePicture } from './decode.js';
import { ports } from './frcnnGraph.js';
import { loadOnnxRuntime } from './optionalPackages.js';
import { preparePicture, targetSize } from './prepare.js';
import type { Prepared } from './prepare.js';
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

export interface Detector {
  readonly recipe: Recipe;
  /**
   * Decodes and resizes a picture, beside the detector's work on another.
   * @throws as `decodePicture`; BAD_DATA for a picture too narrow to be resized
   */
  prepare(path: string): Promise<PreparedPicture>;
  /** @throws BAD_DATA naming the picture when fewer boxes are found than the recipe wants */
  detect(picture: PreparedPicture): Promise<Detection>;
  close(): Promise<void>;
}

export interface OpenDetectorOptions {
  /** CPU threads; 0 (default): all cores. */
  readonly threads?: number | undefined;
}

/**
 * Opens a detector that `importDetector` made.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a file that is none; UNSUPPORTED when a package is not installed
 */
export async function openDetector(path: string, { threads = 0 }: OpenDetectorOptions = {}): Promise<Detector> {
  const recipe = await readRecipe(path);
  const { InferenceSession, Tensor } = await loadOnnxRuntime();
  const session: InferenceSession = await InferenceSession.create(path, {
    intraOpNumThreads: threads,
    // Warnings on the graph are for who writes it.
    logSeverityLevel: 3,
  }).catch((error: unknown) => {
    throw new LxmertError('BAD_DATA', `${path}: onnxruntime does not take it: ${messageOf(error)}`, { cause: error });
  });
  const outputs: readonly string[] = Object.values(ports).filter((name) => name !== 'image' && name !== 'scale');
  return {
    recipe,
    prepare: (picture) => prepare(picture, recipe),
    detect: async ({ path: picture, image, width, height, original }) => {
      const results = await session.run(
        {
          [ports.image]: new Tensor('float32', image, [1, 3, height, width]),
          [ports.scale]: new Tensor('float32', Float32Array.of(original.height / height, original.width / width), [2]),
        },
        [...outputs],
      );
      const floats = (name: string) => results[name].data as Float32Array;
      const ids = (name: string) => results[name].data as BigInt64Array;
      const boxes = floats(ports.boxes);
      const found = boxes.length / 4;
      if (found < recipe.minDetections)
        throw new LxmertError(
          'BAD_DATA',
          `${picture}: the detector finds ${found} boxes; its recipe wants ${recipe.minDetections}`,
        );
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

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function prepare(path: string, recipe: Recipe): Promise<PreparedPicture> {
  const pixels = await decodePicture(path);
  const size = targetSize(pixels, recipe);
  if (Math.min(size.width, size.height) < 1)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: ${pixels.width} × ${pixels.height} pixels are too narrow; resized to ${recipe.maxSize} pixels it has no width`,
    );
  return {
    path,
    original: { width: pixels.width, height: pixels.height },
    ...preparePicture(pixels, size, recipe),
  };
}

/** The part of a detection that a model takes: features, and boxes as shares of the picture. */
export function shownToModel({ features, boxes, width, height }: Detection): {
  readonly features: Float32Array;
  readonly boxes: Float32Array;
} {
  return { features, boxes: boxes.map((value, i) => value / (i % 2 === 0 ? width : height)) };
}

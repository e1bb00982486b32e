import { createRandom } from './random.js';
import type { Random } from './random.js';
import { colors, shapes, sizes } from './world.js';
import type { Box, Scene } from './world.js';

/** An object that a detector found in a picture: one row of the paper's object-level input. */
export interface DetectedObject {
  /** Index into `shapes`, and the detector's confidence in it, from 0 to 1. */
  readonly objectId: number;
  readonly objectConf: number;
  /** Index into `colors`, and the detector's confidence in it, from 0 to 1. */
  readonly attrId: number;
  readonly attrConf: number;
  /** The box in pixels, inside the picture. */
  readonly box: Box;
  /** [featureDim] */
  readonly feature: Float32Array;
}

/** Standard deviation of a feature's noise; the features themselves have variance 1. */
export const featureNoise = 0.3;
/** Probability that the detector reports a wrong shape or a wrong colour for an object. */
export const misdetection = 0.03;
/** Largest error of a box's edge, as a share of the object's side. */
const boxError = 0.03;

/**
 * Detects the objects of a scene. The feature of an object is a fixed random projection of its shape, colour and size,
 * plus noise. For some objects the detector uses a wrong shape or a wrong colour.
 */
export interface Detector {
  readonly featureDim: number;
  detect(scene: Scene, random: Random): DetectedObject[];
}

/** Returns a random item of `items` that is not `item`. */
function mistake<T>(items: readonly T[], item: T, random: Random): T {
  return random.pick(items.filter((other) => other !== item));
}

/** A random confidence: high if the detector is right, and lower, from a wider range, if it is wrong. Never 0 or 1. */
function confidence(right: boolean, random: Random): number {
  const u = random.uniform();
  return right ? 0.98 - 0.4 * u * u : 0.25 + 0.45 * u;
}

/**
 * Creates the detector. Its projection depends only on the feature width and not on a seed, so the detector is the same
 * for the scenes of every seed. A model that was trained on the scenes of one seed can be tried on those of another.
 * @param featureDim number of floats in one feature
 */
export function createDetector(featureDim: number): Detector {
  const source = createRandom(featureDim, 0x5ce7e5);
  const looks = [...shapes, ...colors, ...sizes];
  const scale = 1 / Math.sqrt(3);
  const rows = new Map(
    looks.map((look) => [look, Float64Array.from({ length: featureDim }, () => source.normal() * scale)]),
  );

  const detect = (scene: Scene, random: Random): DetectedObject[] => {
    const found = scene.objects.map((object): DetectedObject => {
      const wrong = random.uniform() < misdetection;
      const wrongShape = wrong && random.uniform() < 0.5;
      const shape = wrongShape ? mistake(shapes, object.shape, random) : object.shape;
      const color = wrong && !wrongShape ? mistake(colors, object.color, random) : object.color;
      const parts = [rows.get(shape)!, rows.get(color)!, rows.get(object.size)!];
      const feature = new Float32Array(featureDim);
      for (let i = 0; i < featureDim; i += 1) {
        feature[i] = parts[0][i] + parts[1][i] + parts[2][i] + featureNoise * random.normal();
      }
      const reach = boxError * (object.box[2] - object.box[0]);
      const limits = [scene.width, scene.height];
      const edges = object.box.map((edge, i) =>
        Math.min(Math.max(edge + reach * (2 * random.uniform() - 1), 0), limits[i % 2]),
      );
      return {
        objectId: shapes.indexOf(shape),
        objectConf: confidence(!wrongShape, random),
        attrId: colors.indexOf(color),
        attrConf: confidence(!wrong || wrongShape, random),
        box: [edges[0], edges[1], edges[2], edges[3]],
        feature,
      };
    });
    return found.sort((a, b) => b.objectConf - a.objectConf);
  };
  return { featureDim, detect };
}

import { LxmertError } from '../errors.js';

/** The parameters of a folder of scenes. The same values give the same bytes. */
export interface SceneParameters {
  /** Number of training scenes; default 10,000. */
  readonly images: number;
  /** The seed of all random choices; default 0. */
  readonly seed: number;
  /** Number of floats of one RoI feature; default 128. */
  readonly featureDim: number;
  /** Number of training scenes, from the first on, that are also drawn as pictures; default 16. */
  readonly pictures: number;
}

export const sceneDefaults: SceneParameters = { images: 10_000, seed: 0, featureDim: 128, pictures: 16 };

/** The smallest and the largest value of each parameter. */
const ranges: Readonly<Record<keyof SceneParameters, readonly [number, number]>> = {
  images: [1, 10_000_000],
  seed: [0, Number.MAX_SAFE_INTEGER],
  featureDim: [1, 16_384],
  pictures: [0, 10_000_000],
};

/** Smallest number of validation scenes. With fewer scenes an accuracy is too inexact. */
export const minValidImages = 100;

/** Number of scenes of the validation split: a tenth of the training scenes, at least `minValidImages`. */
export function validImages(images: number): number {
  return Math.max(Math.ceil(images / 10), minValidImages);
}

/** Some of the parameters. A missing or undefined parameter has its default. */
export type SceneOptions = { readonly [Name in keyof SceneParameters]?: SceneParameters[Name] | undefined };

/**
 * Fills in the defaults and checks the values.
 * @throws BAD_ARGUMENT naming the parameter
 */
export function sceneParameters(given: SceneOptions): SceneParameters {
  const parameters: SceneParameters = {
    images: given.images ?? sceneDefaults.images,
    seed: given.seed ?? sceneDefaults.seed,
    featureDim: given.featureDim ?? sceneDefaults.featureDim,
    pictures: given.pictures ?? sceneDefaults.pictures,
  };
  for (const [name, [from, to]] of Object.entries(ranges)) {
    const value = parameters[name as keyof SceneParameters];
    if (!Number.isSafeInteger(value) || value < from || value > to) {
      throw new LxmertError(
        'BAD_ARGUMENT',
        `scenes: ${name} is ${value}; it must be a whole number from ${from} to ${to}`,
      );
    }
  }
  return parameters;
}

import { LxmertError } from '../errors.js';

/** What a scenes folder holds; the same values make the same bytes. */
export interface SceneParameters {
  /** Training scenes; default 10,000. */
  readonly images: number;
  /** Default 0. */
  readonly seed: number;
  /** Floats of one RoI feature; default 128. */
  readonly featureDim: number;
  /** How many of the first training scenes are also drawn as pictures; default 16. */
  readonly pictures: number;
}

export const sceneDefaults: SceneParameters = { images: 10_000, seed: 0, featureDim: 128, pictures: 16 };

/** From, to. */
const ranges: Readonly<Record<keyof SceneParameters, readonly [number, number]>> = {
  images: [1, 10_000_000],
  seed: [0, Number.MAX_SAFE_INTEGER],
  featureDim: [1, 16_384],
  pictures: [0, 10_000_000],
};

/** Fewest validation scenes: below this an accuracy says little. */
export const minValidImages = 100;

/** Scenes of the validation split: a tenth, at least `minValidImages`. */
export function validImages(images: number): number {
  return Math.max(Math.ceil(images / 10), minValidImages);
}

/** Any of the parameters; what is left out or undefined takes its default. */
export type SceneOptions = { readonly [Name in keyof SceneParameters]?: SceneParameters[Name] | undefined };

/**
 * Fills in the defaults and checks.
 * @throws BAD_ARGUMENT naming the value
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

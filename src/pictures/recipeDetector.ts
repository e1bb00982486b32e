import { LxmertError } from '../errors.js';
import { countsOf, demandEnough } from './counts.js';
import type { Detector, DetectorDescription, OpenDetectorOptions, PreparedPicture } from './detection.js';
import { ports } from './graph/detectorGraph.js';
import { decodePicture } from './input/decode.js';
import type { PictureSource } from './input/decode.js';
import { preparePicture, targetSize } from './input/prepare.js';
import { loadOnnxRuntime } from './optionalPackages.js';
import { readRecipe } from './recipe.js';
import type { Recipe } from './recipe.js';
import { openSession } from './session.js';

const outputs = [ports.boxes, ports.features, ports.objectIds, ports.objectConf, ports.attrIds, ports.attrConf];

/** Reads the description in a file of `importDetector`. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA, BAD_ARGUMENT */
export async function describeRecipe(path: string, options: OpenDetectorOptions): Promise<DetectorDescription> {
  const recipe = await readRecipe(path);
  return description(recipe, options);
}

function description(recipe: Recipe, options: OpenDetectorOptions): DetectorDescription {
  if (options.grid !== undefined)
    throw new LxmertError('BAD_ARGUMENT', '--grid is for the YAML of a backbone; this detector gives objects');
  const counts = countsFrom(recipe, options);
  return {
    identity: JSON.stringify([recipe, counts]),
    objects: recipe.objects,
    attributes: recipe.attributes,
    prepare: (picture) => prepare(picture, recipe),
  };
}

const countsFrom = (
  { minDetections, maxDetections, threshold, postNms }: Recipe,
  options: OpenDetectorOptions,
): ReturnType<typeof countsOf> => countsOf({ least: minDetections, most: maxDetections, threshold }, postNms, options);

/**
 * Opens a detector that `importDetector` made.
 * @throws as `describeRecipe`; UNSUPPORTED when a package is not installed
 */
export async function openRecipe(path: string, options: OpenDetectorOptions): Promise<Detector> {
  const recipe = await readRecipe(path);
  const described = description(recipe, options);
  const counts = countsFrom(recipe, options);
  const session = await openSession(path, options.threads);
  const { Tensor } = await loadOnnxRuntime();
  return {
    ...described,
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

async function prepare(picture: PictureSource, recipe: Recipe): Promise<PreparedPicture> {
  const pixels = await decodePicture(picture);
  const target = targetSize(pixels, recipe);
  if (Math.min(target.width, target.height) < 1)
    throw new LxmertError(
      'BAD_DATA',
      `${picture.path}: a picture of ${pixels.width} × ${pixels.height} pixels is too narrow: its shorter side would be resized to 0 pixels`,
    );
  const original = { width: pixels.width, height: pixels.height };
  return { path: picture.path, original, ...preparePicture(pixels, target, recipe) };
}

import type { Recipe } from '../recipe.js';
import { resizeAsOpenCv, resizeAsPillow, resizeAsTorch } from './resize.js';
import type { Raster, Size } from './resize.js';

/** A decoded picture. */
export type Pixels = Raster;

/** A picture in the form of the detector's input. */
export interface Prepared extends Size {
  /** Blue, green, red, one plane after the other: [3, height, width]. */
  readonly image: Float32Array;
  /** How many pixels of the original picture one pixel of the prepared picture covers. */
  readonly scale: { readonly x: number; readonly y: number };
}

/** The size to which a picture is resized, and the factor, if the recipe uses the same factor for both axes. */
export interface Target extends Size {
  readonly factor: number | undefined;
}

type Sizes = Pick<Recipe, 'recipe' | 'minSize' | 'maxSize'>;

/**
 * The size to which a recipe resizes a picture. The shorter side becomes `minSize`, unless the longer side would then
 * be longer than `maxSize`. A side of the result may be 0.
 */
export const targetSize = (size: Size, recipe: Sizes): Target =>
  recipe.recipe === 'caffe'
    ? caffeSize(size, recipe)
    : { ...shorterSide(size, recipe.minSize, recipe.maxSize), factor: undefined };

/** detectron2's `ResizeShortestEdge`, which transformers also uses. A side of the result may be 0. */
export function shorterSide({ width, height }: Size, minSize: number, maxSize: number): Size {
  const scale = minSize / Math.min(width, height);
  let [w, h] = height < width ? [scale * width, minSize] : [minSize, scale * height];
  const longest = Math.max(w, h);
  if (longest > maxSize) {
    const smaller = maxSize / longest;
    w *= smaller;
    h *= smaller;
  }
  return { width: Math.floor(w + 0.5), height: Math.floor(h + 0.5) };
}

/** The size as in `_get_image_blob` of bottom-up-attention, with the rounding of OpenCV's `resize`. */
function caffeSize({ width, height }: Size, { minSize, maxSize }: Sizes): Target {
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  const factor = rounded((minSize / shorter) * longer) > maxSize ? maxSize / longer : minSize / shorter;
  return { width: rounded(width * factor), height: rounded(height * factor), factor };
}

/** Rounds to the nearest whole number; a half is rounded to the even neighbour. */
function rounded(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/**
 * Resizes a picture as its recipe says, changes the channel order from red, green, blue to blue, green, red, subtracts
 * the mean and divides by `std`.
 *
 * - `transformers`: torch's bilinear `interpolate`. The channels have the order of the weights. The original program
 *   reads local files in the other order.
 * - `d2`: Pillow's bilinear resizing, on bytes.
 * - `caffe`: OpenCV's bilinear resizing, after the mean is subtracted.
 */
export function preparePicture(
  pixels: Pixels,
  target: Target,
  { recipe, mean, std }: Pick<Recipe, 'recipe' | 'mean' | 'std'>,
): Prepared {
  const { width, height, factor } = target;
  const image = new Float32Array(3 * height * width);
  const scale =
    factor === undefined ? { x: pixels.width / width, y: pixels.height / height } : { x: 1 / factor, y: 1 / factor };
  const size = { width, height };
  const planes = (data: Uint8Array | Float32Array, value: (level: number, channel: number) => number): Prepared => {
    const plane = height * width;
    for (let c = 0; c < 3; c++) for (let i = 0; i < plane; i++) image[c * plane + i] = value(data[3 * i + 2 - c], c);
    return { image, ...size, scale };
  };
  const normalised = (level: number, channel: number) => (level - mean[channel]) / std[channel];
  if (factor !== undefined) {
    // The tables are in the order red, green, blue. The mean is in the order blue, green, red.
    const levels = [2, 1, 0].map((channel) => Float32Array.from({ length: 256 }, (_, level) => level - mean[channel]));
    const resized = resizeAsOpenCv(pixels, size, factor, levels);
    return planes(resized.data, (level, channel) => level / std[channel]);
  }
  const resize = recipe === 'd2' ? resizeAsPillow : resizeAsTorch;
  return planes(resize(pixels, size).data, normalised);
}

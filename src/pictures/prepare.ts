import type { Recipe } from './recipe.js';

/** A decoded picture: red, green, blue, one byte each, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A picture as a detector takes it. */
export interface Prepared {
  /** Blue, green, red, one plane after the other: [3, height, width]. */
  readonly image: Float32Array;
  readonly width: number;
  readonly height: number;
}

/**
 * The size that a picture is resized to: detectron2's `ResizeShortestEdge`. The shorter side becomes `minSize` unless the
 * longer would pass `maxSize`. A side may come out as 0.
 */
export function targetSize(
  { width, height }: { readonly width: number; readonly height: number },
  { minSize, maxSize }: Pick<Recipe, 'minSize' | 'maxSize'>,
): { width: number; height: number } {
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

/** Where the values of a row of the result come from, and with which share of the second. */
interface Taps {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly share: Float32Array;
}

/** As torch works them out, in float32: half-pixel centres, no antialiasing. */
function taps(from: number, to: number): Taps {
  const { fround } = Math;
  const scale = fround(from / to);
  const [first, second, share] = [new Int32Array(to), new Int32Array(to), new Float32Array(to)];
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, fround(fround(scale * fround(i + 0.5)) - 0.5));
    first[i] = Math.min(Math.floor(at), from - 1);
    second[i] = Math.min(first[i] + 1, from - 1);
    share[i] = fround(at - first[i]);
  }
  return { first, second, share };
}

/**
 * Resizes as torch's bilinear `interpolate` does (`align_corners` off, no antialiasing), turns the channels into blue, green,
 * red, and subtracts the mean: transformers' `Preprocess`, with the channel order that its weights were trained with.
 */
export function preparePicture(
  { width, height, data }: Pixels,
  size: { readonly width: number; readonly height: number },
  { mean, std }: Pick<Recipe, 'mean' | 'std'>,
): Prepared {
  const image = new Float32Array(3 * size.height * size.width);
  const x = taps(width, size.width);
  const y = taps(height, size.height);
  const plane = size.height * size.width;
  for (let row = 0; row < size.height; row++) {
    const upper = y.first[row] * width;
    const lower = y.second[row] * width;
    const low = y.share[row];
    for (let column = 0; column < size.width; column++) {
      const [left, right, share] = [x.first[column], x.second[column], x.share[column]];
      const at = row * size.width + column;
      for (let channel = 0; channel < 3; channel++) {
        // The bytes are red, green, blue.
        const byte = 2 - channel;
        const [a, b] = [data[3 * (upper + left) + byte], data[3 * (upper + right) + byte]];
        const [c, d] = [data[3 * (lower + left) + byte], data[3 * (lower + right) + byte]];
        const value = (1 - low) * (a * (1 - share) + b * share) + low * (c * (1 - share) + d * share);
        image[channel * plane + at] = (value - mean[channel]) / std[channel];
      }
    }
  }
  return { image, ...size };
}

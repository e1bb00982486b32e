/** A picture of red, green and blue: three numbers for each pixel, row by row. */
export interface Raster<Values extends Uint8Array | Float32Array = Uint8Array> {
  readonly width: number;
  readonly height: number;
  readonly data: Values;
}

/** The number that replaces each byte: three tables of 256 numbers, for red, green and blue. */
export type Levels = readonly Float32Array[];

const plainLevels: Levels = [0, 1, 2].map(() => Float32Array.from({ length: 256 }, (_, level) => level));

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** For each cell of the result along one axis: the two source cells that are mixed, and the share of the second. */
interface Taps {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly share: Float32Array;
}

const { fround } = Math;

/** @param place gives the position in the source, in cells, of each cell of the result */
function taps(from: number, to: number, place: (i: number) => number): Taps {
  const [first, second, share] = [new Int32Array(to), new Int32Array(to), new Float32Array(to)];
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, place(i));
    first[i] = Math.min(Math.floor(at), from - 1);
    second[i] = Math.min(first[i] + 1, from - 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}

/** Bilinear resizing without antialiasing: each value of the result is mixed from four values. */
function bilinear({ width, data }: Raster, size: Size, x: Taps, y: Taps, levels: Levels): Raster<Float32Array> {
  const result = new Float32Array(3 * size.width * size.height);
  let at = 0;
  for (let row = 0; row < size.height; row++) {
    const [upper, lower, low] = [y.first[row] * width, y.second[row] * width, y.share[row]];
    for (let column = 0; column < size.width; column++) {
      const [left, right, share] = [3 * x.first[column], 3 * x.second[column], x.share[column]];
      for (let c = 0; c < 3; c++, at++) {
        const level = levels[c];
        const [a, b] = [level[data[3 * upper + left + c]], level[data[3 * upper + right + c]]];
        const [d, e] = [level[data[3 * lower + left + c]], level[data[3 * lower + right + c]]];
        const [top, bottom] = [a * (1 - share) + b * share, d * (1 - share) + e * share];
        result[at] = (1 - low) * top + low * bottom;
      }
    }
  }
  return { ...size, data: result };
}

/**
 * Resizes like torch's `interpolate`: bilinear, `align_corners` off, no antialiasing, half-pixel centres, in float32.
 */
export function resizeAsTorch(picture: Raster, size: Size): Raster<Float32Array> {
  const along = (from: number, to: number): Taps => {
    const scale = fround(from / to);
    // Torch's kernels multiply and subtract in one operation, which rounds only once.
    return taps(from, to, (i) => fround(scale * (i + 0.5) - 0.5));
  };
  return bilinear(picture, size, along(picture.width, size.width), along(picture.height, size.height), plainLevels);
}

/**
 * Resizes like OpenCV's `resize` of floats with one factor for both axes: bilinear, no antialiasing. Positions are
 * computed in float64 from the factor and not from the sizes.
 */
export function resizeAsOpenCv(picture: Raster, size: Size, factor: number, levels: Levels): Raster<Float32Array> {
  const along = (from: number, to: number): Taps => taps(from, to, (i) => (i + 0.5) / factor - 0.5);
  return bilinear(picture, size, along(picture.width, size.width), along(picture.height, size.height), levels);
}

/** Bits of the fixed-point weights of Pillow's 8-bit resizing. */
const precision = 22;

/**
 * For each cell of the result: the first cell of the source, and the fixed-point weights of `width` cells from there
 * on.
 */
interface Windows {
  readonly from: Int32Array;
  readonly width: number;
  readonly weights: Int32Array;
}

/**
 * Triangular weights over the source cells of each cell of the result. If the picture becomes smaller, the triangle is
 * wider.
 */
function windows(from: number, to: number): Windows {
  const scale = from / to;
  const support = Math.max(1, scale);
  const width = Math.min(from, 2 * Math.ceil(support) + 1);
  const [starts, weights] = [new Int32Array(to), new Int32Array(to * width)];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - first;
    const shares = Array.from({ length: count }, (_, k) =>
      Math.max(0, 1 - Math.abs((k + first - centre + 0.5) / support)),
    );
    const sum = shares.reduce((a, b) => a + b, 0);
    // At the end of the source, a window begins earlier, so that it stays inside the source. The added cells have
    // weight 0.
    starts[i] = Math.min(first, from - width);
    const offset = i * width + first - starts[i];
    for (const [k, share] of shares.entries()) weights[offset + k] = Math.trunc(0.5 + (share / sum) * 2 ** precision);
  }
  return { from: starts, width, weights };
}

/**
 * Resizes like Pillow's `resize` with `BILINEAR`: antialiased if the picture becomes smaller, and rounded to 8 bits
 * after each of the two passes.
 */
export function resizeAsPillow({ width, height, data }: Raster, size: Size): Raster {
  let rows = data;
  if (width !== size.width) {
    rows = new Uint8Array(3 * size.width * height);
    const columns = windows(width, size.width);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < size.width; x++)
        for (let c = 0; c < 3; c++)
          rows[3 * (y * size.width + x) + c] = mixed(data, 3 * (y * width + columns.from[x]) + c, 3, columns, x);
  }
  if (height === size.height) return { ...size, data: rows };
  const result = new Uint8Array(3 * size.width * size.height);
  const lines = windows(height, size.height);
  const row = 3 * size.width;
  for (let y = 0; y < size.height; y++)
    for (let i = 0; i < row; i++) result[y * row + i] = mixed(rows, lines.from[y] * row + i, row, lines, y);
  return { ...size, data: result };
}

/** The weighted sum of values with the weights of window `i`. The values begin at `start` and are `step` apart. */
function mixed(values: Uint8Array, start: number, step: number, { width, weights }: Windows, i: number): number {
  let sum = 1 << (precision - 1);
  for (let k = 0; k < width; k++) sum = (sum + values[start + k * step] * weights[i * width + k]) | 0;
  return Math.min(255, sum >> precision);
}

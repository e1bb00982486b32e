/** A backbone's map of one picture, and the picture's size in pixels. */
export interface FeatureMap {
  /** [channels, rows, columns]. */
  readonly values: Float32Array;
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Grid features: the picture is divided into `count` × `count` cells of one size, row by row. The feature of a cell is
 * the mean of all cells of the map that overlap with it (torch's `adaptive_avg_pool2d`).
 * @returns features [count² × channels], boxes [count² × 4] in pixels
 */
export function gridObjects(
  { values, channels, rows, columns, width, height }: FeatureMap,
  count: number,
): { readonly features: Float32Array; readonly boxes: Float32Array } {
  const features = new Float32Array(count * count * channels);
  const boxes = new Float32Array(count * count * 4);
  for (let row = 0; row < count; row++)
    for (let column = 0; column < count; column++) {
      const cell = row * count + column;
      const [top, bottom] = [Math.floor((row * rows) / count), Math.ceil(((row + 1) * rows) / count)];
      const [left, right] = [Math.floor((column * columns) / count), Math.ceil(((column + 1) * columns) / count)];
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let y = top; y < bottom; y++)
          for (let x = left; x < right; x++) sum += values[(c * rows + y) * columns + x];
        features[cell * channels + c] = sum / ((bottom - top) * (right - left));
      }
      boxes.set(
        [
          (column * width) / count,
          (row * height) / count,
          ((column + 1) * width) / count,
          ((row + 1) * height) / count,
        ],
        4 * cell,
      );
    }
  return { features, boxes };
}

import type { LxmertError } from '../../errors.js';
import { decodeFeatures as decodeNatively } from '../../io/decodeFeatures.js';
import { ROUNDING, isOutside } from './boxes.js';
import { decodeBase64 } from './tsvBase64.js';
import type { ObjectRows } from './featureSource.js';
import { featureFault } from './featureValues.js';
import { fieldError, tsvColumns } from './tsvColumns.js';
import type { TsvContext } from './tsvColumns.js';
import type { TsvLine } from './tsvLine.js';

/** Boxes, classes and confidences of some objects, without their features. */
export type Detections = Omit<ObjectRows, 'features'>;

/** Properties of the boxes of an image that help to find mistakes in a whole file. */
export interface BoxFacts {
  /** The largest coordinate in pixels. */
  readonly largest: number;
  /** Number of objects whose box has no area. */
  readonly flat: number;
  /** Whether all boxes would also be inside the picture if their numbers meant x, y, width, height. */
  readonly asSizes: boolean;
}

/**
 * Decodes the arrays of a line into `rows`, from row `row` on. Boxes become shares of the picture. Throws BAD_DATA at
 * the first value that is not valid in its column.
 */
export function decodeTsvLine(line: Buffer, parsed: TsvLine, context: TsvContext, rows: ObjectRows, row: number): void {
  const { numBoxes, featureDim } = parsed;
  decodeDetections(line, parsed, context, rows, row);
  decodeFeatures(line, parsed, context, rows.features.subarray(row * featureDim, (row + numBoxes) * featureDim));
}

/** Decodes the features of a line into `features`: [numBoxes × featureDim]. Throws BAD_DATA for an invalid value. */
export function decodeFeatures(line: Buffer, parsed: TsvLine, context: TsvContext, features: Float32Array): void {
  const { featureDim, starts } = parsed;
  const named = { ...context, imageId: parsed.imageId };
  if (decodeNatively(line, starts[9], line.length, features)) return;
  decodeBase64(line, starts[9], line.length, bytesOf(features), (problem) => fieldError(named, 'features', problem));
  const fault = featureFault(features, featureDim);
  if (fault !== undefined) throw fieldError(named, 'features', fault);
}

/** Decodes all other columns of a line, which are about a hundredth of its length. */
export function decodeDetections(
  line: Buffer,
  parsed: TsvLine,
  place: TsvContext,
  rows: Detections,
  row: number,
): BoxFacts {
  const { numBoxes, starts } = parsed;
  const context = { ...place, imageId: parsed.imageId };
  const decode = (column: number, target: Uint8Array) =>
    decodeBase64(line, starts[column], starts[column + 1] - 1, target, (problem) =>
      fieldError(context, tsvColumns[column], problem),
    );
  const floats = (column: number, all: Float32Array, width: number) => {
    const target = all.subarray(row * width, (row + numBoxes) * width);
    decode(column, bytesOf(target));
    const i = target.findIndex((value) => !Number.isFinite(value));
    if (i >= 0) {
      const where = width === 1 ? '' : `, ${corners[i % 4]}`;
      const problem = `must be finite, found ${target[i]} for object ${Math.floor(i / width)}${where}`;
      throw fieldError(context, tsvColumns[column], problem);
    }
    return target;
  };
  const scratch = new Uint8Array(8 * numBoxes);
  for (const [column, ids, limit] of [
    [3, rows.objectIds, context.objectLabels],
    [5, rows.attrIds, context.attributeLabels],
  ] as const) {
    decode(column, scratch);
    const words = new Int32Array(scratch.buffer);
    for (let i = 0; i < numBoxes; i++) {
      const id = words[2 * i];
      if (id < 0 || id >= limit || words[2 * i + 1] !== 0) {
        const found = new BigInt64Array(scratch.buffer)[i];
        throw fieldError(context, tsvColumns[column], `must be from 0 to ${limit - 1}, found ${found} for object ${i}`);
      }
      ids[row + i] = id;
    }
  }
  for (const [column, all] of [
    [4, rows.objectConfs],
    [6, rows.attrConfs],
  ] as const) {
    const confs = floats(column, all, 1);
    const i = confs.findIndex((conf) => conf < 0 || conf > 1 + ROUNDING);
    if (i >= 0) throw fieldError(context, tsvColumns[column], `must be from 0 to 1, found ${confs[i]} for object ${i}`);
  }
  return scaleBoxes(floats(8, rows.boxes, 4), parsed, context);
}

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const corners = ['x0', 'y0', 'x1', 'y1'] as const;

/** Checks boxes in pixels (x0, y0, x1, y1) and converts them to shares of the picture. */
function scaleBoxes(boxes: Float32Array, { width, height, numBoxes }: TsvLine, context: TsvContext): BoxFacts {
  let largest = 0;
  let flat = 0;
  let asSizes = true;
  for (let at = 0; at < boxes.length; at += 4) {
    const x0 = boxes[at];
    const y0 = boxes[at + 1];
    const x1 = boxes[at + 2];
    const y1 = boxes[at + 3];
    const shareX0 = Math.fround(x0 / width);
    const shareY0 = Math.fround(y0 / height);
    const shareX1 = Math.fround(x1 / width);
    const shareY1 = Math.fround(y1 / height);
    if (isOutside(shareX0) || isOutside(shareY0) || isOutside(shareX1) || isOutside(shareY1)) {
      throw outside(boxes, at, { width, height }, context);
    }
    if (shareX0 - shareX1 >= ROUNDING || shareY0 - shareY1 >= ROUNDING) {
      const [axis, from, to] = shareX0 - shareX1 >= ROUNDING ? ['x', x0, x1] : ['y', y0, y1];
      throw fieldError(
        context,
        'boxes',
        `of object ${at / 4} has its corners in the wrong order: ${axis}0 is ${from}, ${axis}1 is ${to}; ` +
          'x0, y0, x1, y1 in pixels were expected (not x, y, width, height)',
      );
    }
    if (x1 > largest) largest = x1;
    if (y1 > largest) largest = y1;
    if (x0 >= x1 || y0 >= y1) flat++;
    if (x0 + x1 > width + 1 || y0 + y1 > height + 1) asSizes = false;
    boxes[at] = shareX0;
    boxes[at + 1] = shareY0;
    boxes[at + 2] = shareX1;
    boxes[at + 3] = shareY1;
  }
  if (numBoxes > 1 && withinOnePixel(largest) && Math.max(width, height) > 2) {
    throw fieldError(context, 'boxes', sharesProblem);
  }
  return { largest, flat, asSizes };
}

/** The message for a file in which no box is larger than a pixel. */
export const sharesProblem =
  'all lie within one pixel: they look like shares of the picture (0 to 1); x0, y0, x1, y1 in pixels were expected';

/**
 * Whether boxes with this largest coordinate are probably shares of the picture. If all coordinates are zeros, the
 * result is false.
 */
export const withinOnePixel = (largest: number): boolean => largest > 0 && largest <= 1 + ROUNDING;

/**
 * Makes the error for a box outside its picture, the box at `first`. The boxes before it are shares already. If the sides
 * of the picture seem to be swapped, the message says so.
 */
function outside(
  boxes: Float32Array,
  first: number,
  { width, height }: { readonly width: number; readonly height: number },
  context: TsvContext,
): LxmertError {
  const rest = boxes.subarray(first);
  const isX = (i: number) => i % 2 === 0;
  const sideOf = (i: number) => (isX(i) ? width : height);
  const beyond = [...rest.keys()].filter((i) => isOutside(Math.fround(rest[i] / sideOf(i))));
  const most = (ofX: boolean) => rest.reduce((max, value, i) => (isX(i) === ofX ? Math.max(max, value) : max), 0);
  const fitsSwapped = most(true) <= height && most(false) <= width && rest.every((value) => value >= 0);
  const objects = new Set(beyond.map((i) => i >> 2));
  if (fitsSwapped && objects.size > 1) {
    return fieldError(
      context,
      'img_h and img_w',
      `look swapped: boxes reach x ${most(true)} and y ${most(false)} in a picture ${width} wide and ${height} high`,
    );
  }
  const [i] = beyond;
  return fieldError(
    context,
    'boxes',
    `of object ${(first + i) >> 2} lies outside the picture: ${corners[i % 4]} is ${rest[i]}, from 0 to ${sideOf(i)} ` +
      `was expected${fitsSwapped ? '; are img_h and img_w swapped?' : ''}`,
  );
}

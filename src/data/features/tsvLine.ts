import { describeValue } from '../../formats/describe.js';
import { imageIdProblem } from '../imageId.js';
import { base64Length, decodedLength } from './tsvBase64.js';
import { detectionColumns, fieldError, tsvColumns } from './tsvColumns.js';
import type { TsvContext } from './tsvColumns.js';
import { columnsHint, isPythonBytes, lengthFault, numberHint } from './tsvFaults.js';

/** Largest number of objects. Detectors give 10 to 100; a number above this limit means that the field is damaged. */
const MOST_OBJECTS = 100_000;
const TAB = 9;

/** A line that is split into columns. The arrays are not decoded. */
export interface TsvLine {
  readonly imageId: string;
  readonly height: number;
  readonly width: number;
  readonly numBoxes: number;
  /** Number of floats in the feature of one object. */
  readonly featureDim: number;
  /** Position of the first byte of each column, and the end of the line plus one. */
  readonly starts: readonly number[];
}

/** Finds the first byte of each column, and the end of the line plus one. Throws if there are not ten columns. */
export function columnStarts(line: Buffer, context: TsvContext): readonly number[] {
  const starts = [0];
  for (let at = line.indexOf(TAB); at >= 0; at = line.indexOf(TAB, at + 1)) {
    starts.push(at + 1);
    if (starts.length > tsvColumns.length) break;
  }
  if (starts.length !== tsvColumns.length) {
    const found = starts.length > tsvColumns.length ? 'more' : `${starts.length}`;
    throw fieldError(
      context,
      '',
      `has ${found} tab-separated columns, ${tsvColumns.length} were expected (${tsvColumns.join(', ')})${columnsHint(line)}`,
    );
  }
  starts.push(line.length + 1);
  return starts;
}

/**
 * Splits a line (without its line feed) and makes all checks that need no decoding: of the columns, of the numbers, and
 * that the length of every array agrees with `num_boxes`. The feature width is computed from the length of `features`.
 */
export function parseTsvLine(line: Buffer, place: TsvContext): TsvLine {
  const starts = columnStarts(line, place);
  const text = (column: number) => line.toString('utf8', starts[column], starts[column + 1] - 1);
  const imageId = text(0);
  const problem = imageIdProblem(imageId);
  if (imageId === '' || problem !== undefined) {
    const why = problem === undefined || imageId.includes('\uFFFD') ? '' : `; it ${problem}`;
    throw fieldError(place, 'img_id', `must be a name in UTF-8, found ${describeValue(imageId)}${why}`);
  }
  const context = { ...place, imageId };
  const number = (column: number, most: number) => {
    const shown = text(column);
    const value = /^[0-9]{1,9}$/.test(shown) ? Number(shown) : 0;
    if (value < 1 || value > most) {
      const hint = numberHint(shown, tsvColumns[column]);
      throw fieldError(
        context,
        tsvColumns[column],
        `must be an integer from 1 to ${most}, found ${describeValue(shown)}${hint}`,
      );
    }
    return value;
  };
  const height = number(1, 999_999_999);
  const width = number(2, 999_999_999);
  const numBoxes = number(7, MOST_OBJECTS);
  for (const [column, size] of detectionColumns) {
    const found = starts[column + 1] - 1 - starts[column];
    if (found !== base64Length(size * numBoxes)) {
      const fault = lengthFault(line, starts, numBoxes);
      throw fieldError(context, tsvColumns[fault.column], fault.problem);
    }
  }
  return { imageId, height, width, numBoxes, featureDim: featureWidth(line, starts, numBoxes, context), starts };
}

function featureWidth(line: Buffer, starts: readonly number[], numBoxes: number, context: TsvContext): number {
  const length = line.length - starts[9];
  if (isPythonBytes(line, starts, 9)) throw fieldError(context, 'features', "is written as Python's b'…'");
  const width = decodedLength(line, starts[9], line.length) / 4 / numBoxes;
  if (length === 0 || !Number.isInteger(width)) {
    const unpadded = length % 4 > 1 && Number.isInteger(Math.floor((length * 3) / 4) / 4 / numBoxes);
    const hint = unpadded ? 'is the = at the end missing?' : 'is the line cut off?';
    throw fieldError(
      context,
      'features',
      `has ${length} characters of base64, which is no whole number of floats for each of num_boxes ${numBoxes}; ${hint}`,
    );
  }
  return width;
}

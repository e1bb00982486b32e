import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import type { ObjectRows } from './featureSource.js';

/** The columns of a feature TSV, in order (the original's FIELDNAMES). */
export const tsvColumns = [
  'img_id',
  'img_h',
  'img_w',
  'objects_id',
  'objects_conf',
  'attrs_id',
  'attrs_conf',
  'num_boxes',
  'boxes',
  'features',
] as const;

export type TsvColumn = (typeof tsvColumns)[number];

/** How far a box may lie outside its picture, and a confidence above 1, by rounding (the original's tolerance). */
const ROUNDING = 1e-5;
/** Detectors give 10 to 100 objects; a number past this is a damaged field. */
const MOST_OBJECTS = 100_000;
const TAB = 9;
/** Characters of base64 that are decoded at a time: whole groups of 4. */
const PIECE = 2 ** 15;

/** A line cut into columns; the arrays are still base64. */
export interface TsvLine {
  readonly imageId: string;
  readonly height: number;
  readonly width: number;
  readonly numBoxes: number;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  /** First byte of each column within the line, and the line's end plus one. */
  readonly starts: readonly number[];
}

/** Where a line comes from and what its numbers may be. */
export interface TsvContext {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly objectLabels: number;
  readonly attributeLabels: number;
}

/** An error about one field: `features.tsv: line 3: num_boxes must be …, found …`. */
export function fieldError(
  context: Pick<TsvContext, 'path' | 'line'>,
  field: TsvColumn | '',
  problem: string,
): LxmertError {
  return new LxmertError('BAD_DATA', `${context.path}: line ${context.line}: ${field}${field && ' '}${problem}`);
}

/** Characters of base64 for a number of bytes. */
const base64Length = (bytes: number) => 4 * Math.ceil(bytes / 3);

/**
 * Cuts a line (without its line feed) and checks all that needs no decoding: the columns, the numbers, and that every
 * array is as long as `num_boxes` says. `features` tells the feature width.
 */
export function parseTsvLine(line: Buffer, context: TsvContext): TsvLine {
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
      `has ${found} tab-separated columns, ${tsvColumns.length} were expected (${tsvColumns.join(', ')})`,
    );
  }
  starts.push(line.length + 1);
  const text = (column: number) => line.toString('utf8', starts[column], starts[column + 1] - 1);
  const number = (column: number, most: number) => {
    const shown = text(column);
    const value = /^[0-9]{1,9}$/.test(shown) ? Number(shown) : 0;
    if (value < 1 || value > most) {
      throw fieldError(
        context,
        tsvColumns[column],
        `must be an integer from 1 to ${most}, found ${describeValue(shown)}`,
      );
    }
    return value;
  };
  const imageId = text(0);
  if (imageId === '' || imageId.includes('\uFFFD')) {
    throw fieldError(context, 'img_id', `must be a name in UTF-8, found ${describeValue(imageId)}`);
  }
  const height = number(1, 999_999_999);
  const width = number(2, 999_999_999);
  const numBoxes = number(7, MOST_OBJECTS);

  const arrays: readonly [column: number, bytes: number][] = [
    [3, 8 * numBoxes],
    [4, 4 * numBoxes],
    [5, 8 * numBoxes],
    [6, 4 * numBoxes],
    [8, 16 * numBoxes],
  ];
  for (const [column, bytes] of arrays) {
    const found = starts[column + 1] - 1 - starts[column];
    if (found !== base64Length(bytes)) {
      throw fieldError(
        context,
        tsvColumns[column],
        `has ${found} characters of base64, ${base64Length(bytes)} were expected for num_boxes ${numBoxes}`,
      );
    }
  }
  return { imageId, height, width, numBoxes, featureDim: featureWidth(line, starts, numBoxes, context), starts };
}

function featureWidth(line: Buffer, starts: readonly number[], numBoxes: number, context: TsvContext): number {
  const length = line.length - starts[9];
  const padding = line[line.length - 1] !== 0x3d ? 0 : line[line.length - 2] !== 0x3d ? 1 : 2;
  const bytes = (length / 4) * 3 - padding;
  const width = bytes / 4 / numBoxes;
  if (length === 0 || !Number.isInteger(width)) {
    throw fieldError(
      context,
      'features',
      `has ${length} characters of base64, which is no whole number of floats for each of num_boxes ${numBoxes}; ` +
        'is the line cut off?',
    );
  }
  return width;
}

/**
 * Decodes the arrays of a line into `rows` from row `row` on: boxes become shares of the picture. Throws BAD_DATA at
 * the first value that is not what the column holds.
 */
export function decodeTsvLine(line: Buffer, parsed: TsvLine, context: TsvContext, rows: ObjectRows, row: number): void {
  const { numBoxes, featureDim, starts } = parsed;
  const decode = (column: number, target: Uint8Array) => decodeBase64(line, starts, column, target, context);
  const floats = (column: number, all: Float32Array, width: number) => {
    const target = all.subarray(row * width, (row + numBoxes) * width);
    decode(column, bytesOf(target));
    checkFinite(target, width, tsvColumns[column], context);
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
  scaleBoxes(floats(8, rows.boxes, 4), parsed, context);
  floats(9, rows.features, featureDim);
}

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/**
 * Decodes a whole column; its length was checked, so anything that is not base64 leaves `target` short. A piece at a time:
 * V8 keeps a string of more apart, in fresh pages, which cost many times what decoding does.
 */
function decodeBase64(
  line: Buffer,
  starts: readonly number[],
  column: number,
  target: Uint8Array,
  context: TsvContext,
): void {
  const [start, end] = [starts[column], starts[column + 1] - 1];
  const error = () => fieldError(context, tsvColumns[column], `is not base64${badCharacter(line, start, end)}`);
  for (let from = start, done = 0; from < end; from += PIECE, done += (PIECE / 4) * 3) {
    const text = line.toString('latin1', from, Math.min(from + PIECE, end));
    decodeBase64Text(text, target.subarray(done, done + (PIECE / 4) * 3), error);
  }
}

/** Fills `target`; anything but exactly its bytes in the standard alphabet is an error. */
export function decodeBase64Text(text: string, target: Uint8Array, error: () => LxmertError): void {
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  const padding = (3 - (bytes.length % 3)) % 3;
  if (text.length !== base64Length(bytes.length) || !text.endsWith('='.repeat(padding))) throw error();
  // Node skips what is not base64, so a bad character leaves `bytes` short; but it also takes the URL alphabet.
  if (bytes.write(text, 'base64') !== bytes.length || text.includes('-') || text.includes('_')) throw error();
}

function badCharacter(line: Buffer, from: number, to: number): string {
  const text = line.toString('latin1', from, to);
  const body = text.replace(/={0,2}$/, '');
  const at = body.search(/[^A-Za-z0-9+/]/);
  return at < 0 ? ' of the right length' : `: found ${describeValue(body[at])} at character ${at + 1}`;
}

function checkFinite(values: Float32Array, width: number, field: TsvColumn, context: TsvContext): void {
  // NaN and Infinity times 0 are NaN, and NaN stays in a sum.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  if (sum === 0) return;
  const i = values.findIndex((value) => !Number.isFinite(value));
  const where = width === 1 ? '' : `, value ${i % width}`;
  throw fieldError(context, field, `must be finite, found ${values[i]} for object ${Math.floor(i / width)}${where}`);
}

function scaleBoxes(boxes: Float32Array, { width, height }: TsvLine, context: TsvContext): void {
  for (let i = 0; i < boxes.length; i++) {
    const side = i % 2 === 0 ? width : height;
    const share = Math.fround(boxes[i] / side);
    if (share >= 1 + ROUNDING || share <= -ROUNDING) {
      throw fieldError(
        context,
        'boxes',
        `of object ${i >> 2} lies outside the picture: ${['x0', 'y0', 'x1', 'y1'][i % 4]} is ${boxes[i]}, ` +
          `from 0 to ${side} was expected`,
      );
    }
    boxes[i] = share;
  }
}

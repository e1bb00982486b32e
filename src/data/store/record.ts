import { crc32 } from 'node:zlib';
import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { floatsToHalves, toFloat32 } from '../../formats/dtypes.js';
import { isOutside, ROUNDING } from '../features/boxes.js';
import { featureFault } from '../features/featureValues.js';
import { imageIdProblem } from '../imageId.js';
import { fieldBits } from './storeForm.js';
import type { StoreDtype } from './storeForm.js';

/** The data of one image, as read from a file of any form. Values that the form does not have are absent. */
export interface ImageRecord {
  readonly id: string;
  /** The place of the record, for messages: `file: line 3`. */
  readonly place: string;
  /** Size of the picture in pixels. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** Objects. */
  readonly count: number;
  /** x0, y0, x1, y1: [count × 4]. */
  readonly boxes: Float32Array;
  /** Whether boxes are shares of the picture; otherwise they are pixels. */
  readonly shares: boolean;
  /** [count × featureDim]; a Uint16Array holds bits of float16. */
  readonly features: Float32Array | Uint16Array;
  /** [count] */
  readonly objectIds?: Int32Array | undefined;
  readonly objectConfs?: Float32Array | undefined;
  readonly attrIds?: Int32Array | undefined;
  readonly attrConfs?: Float32Array | undefined;
}

/** Names of a record's fields in its form, for messages. The default names are those of the TSV. */
export interface FieldNames {
  readonly features: string;
  readonly boxes: string;
  readonly objectIds: string;
  readonly objectConfs: string;
  readonly attrIds: string;
  readonly attrConfs: string;
}

export const tsvNames: FieldNames = {
  features: 'features',
  boxes: 'boxes',
  objectIds: 'objects_id',
  objectConfs: 'objects_conf',
  attrIds: 'attrs_id',
  attrConfs: 'attrs_conf',
};

export interface RecordLimits {
  /** Numbers of classes of the detector. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly names?: FieldNames | undefined;
}

/** An error about a field of a record. */
export const recordError = (record: Pick<ImageRecord, 'place' | 'id'>, field: string, problem: string): LxmertError =>
  new LxmertError('BAD_DATA', `${record.place}: ${field} ${problem} (image ${describeValue(record.id)})`);

const corners = ['x0', 'y0', 'x1', 'y1'] as const;
const MOST_SIDE = 999_999_999;

/** Checks a record of any form. @throws BAD_DATA naming place, field, object and value */
export function checkRecord(
  record: ImageRecord,
  { objectLabels, attributeLabels, names = tsvNames }: RecordLimits,
): void {
  const { id, count, width, height, boxes, features } = record;
  const problem = id === '' ? 'is empty' : imageIdProblem(id);
  if (problem !== undefined) throw recordError(record, 'the image id', problem);
  if (count < 1) throw recordError(record, names.boxes, 'has no objects');
  for (const [side, value] of [
    ['width', width],
    ['height', height],
  ] as const)
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= MOST_SIDE))
      throw recordError(record, side, `must be a whole number from 1, found ${value}`);
  if (features.length === 0 || features.length % count !== 0)
    throw recordError(record, names.features, `has ${features.length} numbers for ${count} objects`);
  const width32 = features.length / count;
  const fault = featureFault(features instanceof Uint16Array ? toFloat32('F16', features) : features, width32);
  if (fault !== undefined) throw recordError(record, names.features, fault);
  if (boxes.length !== 4 * count)
    throw recordError(
      record,
      names.boxes,
      `has ${boxes.length} numbers, ${4 * count} were expected for ${count} objects`,
    );
  checkBoxes(record, names);
  const arrays = [
    [names.objectIds, record.objectIds, objectLabels],
    [names.attrIds, record.attrIds, attributeLabels],
    [names.objectConfs, record.objectConfs, undefined],
    [names.attrConfs, record.attrConfs, undefined],
  ] as const;
  for (const [name, values, labels] of arrays) {
    if (values === undefined) continue;
    if (values.length !== count)
      throw recordError(record, name, `has ${values.length} numbers, ${count} were expected`);
    const isWrong = (value: number) =>
      labels === undefined ? !(value >= 0 && value <= 1 + ROUNDING) : value < 0 || value >= labels;
    for (let i = 0; i < count; i++) {
      if (!isWrong(values[i])) continue;
      const hint = labels !== undefined && values[i] >= labels ? '; for more classes see --classes' : '';
      const limits = labels === undefined ? 'from 0 to 1' : `from 0 to ${labels - 1}`;
      throw recordError(record, name, `must be ${limits}, found ${values[i]} for object ${i}${hint}`);
    }
  }
}

function checkBoxes(record: ImageRecord, { boxes: name }: FieldNames): void {
  const { boxes, shares, width, height, count } = record;
  let largest = 0;
  for (let i = 0; i < boxes.length; i++) {
    const value = boxes[i];
    if (!Number.isFinite(value))
      throw recordError(record, name, `must be finite, found ${value} for object ${i >> 2}, ${corners[i % 4]}`);
    if (value > largest) largest = value;
    const side = shares ? 1 : i % 2 === 0 ? width : height;
    const outside = side === undefined ? value < -ROUNDING : isOutside(Math.fround(value / side));
    if (outside)
      throw recordError(
        record,
        name,
        `of object ${i >> 2} lies outside the picture: ${corners[i % 4]} is ${value}, from 0 to ${side ?? 'its side'} was expected`,
      );
    const before = i % 4 < 2 ? undefined : boxes[i - 2];
    if (before !== undefined && (before - value) / (side ?? 1) >= ROUNDING)
      throw recordError(
        record,
        name,
        `of object ${i >> 2} has its corners in the wrong order: ${corners[(i - 2) % 4]} is ${before}, ${corners[i % 4]} is ${value}; ` +
          'x0, y0, x1, y1 were expected (not x, y, width, height)',
      );
  }
  if (!shares && count > 1 && largest > 0 && largest <= 1 + ROUNDING && Math.max(width ?? 3, height ?? 3) > 2)
    throw recordError(
      record,
      name,
      'all lie within one pixel: they look like shares of the picture; pixels were expected',
    );
}

/** A record in the form in which a shard stores it. */
export interface EncodedRecord extends Omit<ImageRecord, 'features'> {
  /** float32, or bits of float16, as the store's dtype says. */
  readonly features: Float32Array | Uint16Array;
  /** The fields that it has, as `fieldBits`. */
  readonly fields: number;
  readonly crc: number;
}

/** Converts a checked record to the dtype of a store. @throws BAD_DATA if a number is too large for float16 */
export function encodeRecord(record: ImageRecord, dtype: StoreDtype, names: FieldNames = tsvNames): EncodedRecord {
  const features = inDtype(record, dtype, names);
  return { ...record, features, fields: fieldsOf(record), crc: crcOf({ ...record, features }) };
}

/** The fields that a record has, as `fieldBits`. */
export function fieldsOf(record: Omit<ImageRecord, 'features'>): number {
  const has = [
    [record.objectIds, fieldBits.object_ids],
    [record.objectConfs, fieldBits.object_confs],
    [record.attrIds, fieldBits.attr_ids],
    [record.attrConfs, fieldBits.attr_confs],
    [record.width === undefined || record.height === undefined ? undefined : true, fieldBits.size],
    [record.shares ? true : undefined, fieldBits.shares],
  ] as const;
  return has.reduce((bits, [value, bit]) => (value === undefined ? bits : bits | bit), 0);
}

function inDtype(record: ImageRecord, dtype: StoreDtype, names: FieldNames): Float32Array | Uint16Array {
  const { features } = record;
  if (dtype === 'float32') return features instanceof Uint16Array ? toFloat32('F16', features) : features;
  if (features instanceof Uint16Array) return features;
  return narrow({ ...record, features }, new Uint16Array(features.length), names);
}

/** Writes float32 features as bits of float16. @throws BAD_DATA if a number is too large for float16 */
export function narrow(
  record: Pick<ImageRecord, 'place' | 'id' | 'count'> & { readonly features: Float32Array },
  halves: Uint16Array,
  { features: name }: FieldNames = tsvNames,
): Uint16Array {
  const { features, count } = record;
  const beyond = floatsToHalves(features, halves);
  if (beyond < 0) return halves;
  const width = features.length / count;
  throw recordError(
    record,
    name,
    `has ${features[beyond]} for object ${Math.floor(beyond / width)}, value ${beyond % width}; float16 goes to 65504. ` +
      'Import with --dtype float32',
  );
}

/** CRC-32 of the bytes of an image in its shard. Fields that the image does not have are not part of it. */
export function crcOf(
  record: Pick<ImageRecord, 'boxes' | 'features' | 'objectIds' | 'objectConfs' | 'attrIds' | 'attrConfs'>,
): number {
  const { features, boxes, objectIds, objectConfs, attrIds, attrConfs } = record;
  return [features, boxes, objectIds, objectConfs, attrIds, attrConfs].reduce(
    (crc, array) =>
      array === undefined ? crc : crc32(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), crc),
    0,
  );
}

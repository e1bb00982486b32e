/** LMDB, npz, npy and HDF5 have named values for each image. This module has tables of the names and the types. */
import { LxmertError } from '../errors.js';
import { describeValue } from '../formats/describe.js';
import { NumpyArray, numberOf, numpyFeatures, numpyFloats, numpyIntegers } from '../formats/numpy.js';
import { PickleFault, PickleFloat } from '../formats/pickle.js';
import type { PickleValue } from '../formats/pickle.js';
import type { FieldNames, ImageRecord } from '../data/store/record.js';

/** A row in the form in which it was read. */
export type Row = ReadonlyMap<string, PickleValue>;

/** The names of each field in all forms. If a row has several of them, the first one in this list is used. */
const aliases = {
  id: ['img_id', 'image_id', 'feature_path'],
  width: ['img_w', 'image_w', 'image_width'],
  height: ['img_h', 'image_h', 'image_height'],
  count: ['num_boxes', 'num_bbox'],
  boxes: ['boxes', 'bbox', 'norm_bb', 'bboxes'],
  features: ['features', 'x'],
  objectIds: ['objects_id', 'obj_id', 'objects'],
  objectConfs: ['objects_conf', 'obj_conf', 'conf', 'cls_prob'],
  attrIds: ['attrs_id', 'attr_id'],
  attrConfs: ['attrs_conf', 'attr_conf'],
} as const;

type Alias = keyof typeof aliases;

export interface RowRules {
  /** The id that is used if the row has none, or if `idIsKey` is set. */
  readonly id: string;
  /** For messages. */
  readonly place: string;
  /** Whether the key is the id, instead of a value of the row. */
  readonly idIsKey?: boolean;
  /** Whether `num_boxes` must be the number of rows. */
  readonly counted?: boolean;
  /** Whether boxes are shares of the picture. The first four numbers of each row are the corners. */
  readonly shares?: boolean;
}

/** A record, and the names of its fields in the form. */
export interface NamedRecord {
  readonly record: ImageRecord;
  readonly names: FieldNames;
}

/** @throws BAD_DATA naming the place and the field */
export function recordOfRow(row: Row, rules: RowRules): NamedRecord {
  const { place, counted = true, shares = false } = rules;
  const nameOf = (alias: Alias): string | undefined =>
    aliases[alias].find((name) => row.get(name) !== undefined && row.get(name) !== null);
  const bad = (field: string, problem: string, cause?: unknown) =>
    new LxmertError('BAD_DATA', `${place}: ${field} ${problem} (image ${describeValue(id)})`, { cause });
  const idName = nameOf('id');
  const given = idName === undefined ? undefined : row.get(idName);
  const id = rules.idIsKey || given === undefined ? rules.id : textOf(given);
  if (id === undefined) throw new LxmertError('BAD_DATA', `${place}: ${idName} is no text and no number`);

  const whole = (alias: 'width' | 'height' | 'count'): number | undefined => {
    const name = nameOf(alias);
    if (name === undefined) return undefined;
    const number = wholeOf(row.get(name)!);
    if (number === undefined) throw bad(name, `must be a whole number, found ${shownValue(row.get(name))}`);
    return number;
  };
  const demand = (alias: 'features' | 'boxes'): string => {
    const name = nameOf(alias);
    if (name === undefined) throw bad(aliases[alias].slice(0, 2).join(' or '), 'is missing');
    return name;
  };
  const read = <T>(name: string, convert: (value: PickleValue) => T): T => {
    try {
      return convert(row.get(name)!);
    } catch (error) {
      if (error instanceof PickleFault) throw bad(name, error.message, error);
      throw error;
    }
  };
  const optional = <T>(alias: Alias, convert: (value: PickleValue) => T): T | undefined => {
    const name = nameOf(alias);
    return name === undefined ? undefined : read(name, convert);
  };

  const featureName = demand('features');
  const boxName = demand('boxes');
  const features = read(featureName, featuresOf);
  const allBoxes = read(boxName, (value) => floatsOf(value).values);
  const boxShape = shapeOf(row.get(boxName)!);
  const columns = boxShape?.[1] ?? 4;
  const claimed = whole('count');
  const inBoxes = allBoxes.length / columns;
  const rows = shapeOf(row.get(featureName)!)?.[0] ?? inBoxes;
  if (inBoxes !== rows) throw bad(boxName, `has ${inBoxes} rows, ${featureName} has ${rows}`);
  if (counted && claimed !== undefined && claimed !== rows)
    throw bad(nameOf('count')!, `is ${claimed}, but the arrays are of ${rows} objects`);
  const objectIds = optional('objectIds', (value) => integersOf(value));
  const confName = nameOf('objectConfs');
  const objectConfs = optional('objectConfs', (value) => largestOf(value, rows));
  const record: ImageRecord = {
    ...{ id, place, count: rows, features, shares },
    ...{ width: whole('width'), height: whole('height') },
    boxes: columns === 4 ? allBoxes : cornersOf(allBoxes, columns),
    ...{ objectIds, objectConfs },
    attrIds: optional('attrIds', (value) => integersOf(value)),
    attrConfs: optional('attrConfs', (value) => floatsOf(value).values),
  };
  const named = { features: featureName, boxes: boxName, objectConfs: confName ?? 'confidences' };
  const names = {
    ...named,
    objectIds: nameOf('objectIds') ?? 'object classes',
    attrIds: nameOf('attrIds') ?? 'attribute classes',
    attrConfs: nameOf('attrConfs') ?? 'attribute confidences',
  };
  return { record, names };
}

const shownValue = (value: PickleValue | undefined): string =>
  value instanceof PickleFloat ? String(value.value) : describeValue(typeof value === 'bigint' ? String(value) : value);

function textOf(value: PickleValue): string | undefined {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  const number = numberOf(value);
  return number === undefined ? undefined : String(number);
}

function wholeOf(value: PickleValue): number | undefined {
  const text = typeof value === 'string' ? value : value instanceof Uint8Array ? textOf(value) : undefined;
  const number = text === undefined ? numberOf(value) : /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  return Number.isSafeInteger(number) ? number : undefined;
}

const shapeOf = (value: PickleValue): readonly number[] | undefined =>
  value instanceof NumpyArray && value.shape.length > 1 ? value.shape : undefined;

/** Decodes base64. @throws a PickleFault */
function decoded(value: string | Uint8Array): Uint8Array {
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1');
  const bytes = Buffer.from(text, 'base64');
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/]/.test(text.replace(/={0,2}$/, '')))
    throw new PickleFault('is not base64');
  return bytes;
}

function copied(bytes: Uint8Array, size: number): ArrayBuffer {
  if (bytes.length % size !== 0) throw new PickleFault(`has ${bytes.length} bytes, which are no whole numbers`);
  return Uint8Array.from(bytes).buffer;
}

/** Numbers of an array, a list, or base64 of float32. @throws a PickleFault */
function floatsOf(value: PickleValue): { readonly values: Float32Array } {
  if (value instanceof NumpyArray) return { values: numpyFloats(value) };
  if (typeof value === 'string' || value instanceof Uint8Array)
    return { values: new Float32Array(copied(decoded(value), 4)) };
  if (Array.isArray(value)) return { values: Float32Array.from(value, (item) => numberOf(item) ?? NaN) };
  throw new PickleFault('is no array of numbers');
}

function featuresOf(value: PickleValue): Float32Array | Uint16Array {
  return value instanceof NumpyArray ? numpyFeatures(value) : floatsOf(value).values;
}

/** Whole numbers of an array, a list, or base64 of int64. @throws a PickleFault */
function integersOf(value: PickleValue): Int32Array {
  if (value instanceof NumpyArray) return numpyIntegers(value);
  if (typeof value === 'string' || value instanceof Uint8Array) {
    const words = new BigInt64Array(copied(decoded(value), 8));
    return Int32Array.from(words, (word) => {
      const number = Number(word);
      if (number !== (number | 0)) throw new PickleFault(`has the class ${word}`);
      return number;
    });
  }
  if (Array.isArray(value)) return Int32Array.from(value, (item) => numberOf(item) ?? -1);
  throw new PickleFault('is no array of whole numbers');
}

/** One number for each object: the number itself, or the largest of the object's row. @throws a PickleFault */
function largestOf(value: PickleValue, rows: number): Float32Array {
  const { values } = floatsOf(value);
  const shape = shapeOf(value);
  return shape === undefined ? values : maxima(values, rows, shape[1], 0).values;
}

/**
 * The largest number of each row, and its column. Columns before `first` are ignored, and the columns are counted from
 * `first`.
 */
export function maxima(
  values: Float32Array,
  rows: number,
  columns: number,
  first: number,
): { readonly values: Float32Array; readonly places: Int32Array } {
  const largest = new Float32Array(rows);
  const places = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = row * columns + first;
    for (let at = best; at < (row + 1) * columns; at++) if (values[at] > values[best]) best = at;
    largest[row] = values[best];
    places[row] = best - row * columns - first;
  }
  return { values: largest, places };
}

/** The first four numbers of each row. */
function cornersOf(values: Float32Array, columns: number): Float32Array {
  const corners = new Float32Array((values.length / columns) * 4);
  for (let i = 0; i < corners.length; i++) corners[i] = values[Math.floor(i / 4) * columns + (i % 4)];
  return corners;
}

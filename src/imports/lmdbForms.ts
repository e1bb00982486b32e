import { join } from 'node:path';
import { decode } from '@msgpack/msgpack';
import { LxmertError } from '../errors.js';
import { isThere } from '../formats/fileErrors.js';
import { parseJson, readJson } from '../formats/json.js';
import { LmdbFile } from '../formats/lmdb.js';
import { NumpyArray, numpyDtype, numpyFloats } from '../formats/numpy.js';
import { itemsOf, readNumpyPickle } from '../formats/numpyPickle.js';
import { PickleFault, PickleFloat } from '../formats/pickle.js';
import type { PickleValue } from '../formats/pickle.js';
import { elementCount } from '../formats/safetensorsHeader.js';
import { shown } from '../formats/shown.js';
import { isRecord } from '../records.js';
import type { FormName, FormOptions, OpenedForm } from './forms.js';
import { identityOf, inputFile, sourceFile } from './inputFile.js';
import { readNpz } from './npz.js';
import { checkedItems } from './records.js';
import type { PendingRecord } from './records.js';
import { maxima, recordOfRow } from './rowFields.js';
import type { NamedRecord, Row } from './rowFields.js';

/** Opens a database: the file itself, or the folder that has it as `data.mdb`. */
export async function openLmdbForm(
  path: string,
  format: FormName | undefined,
  options: FormOptions,
): Promise<OpenedForm> {
  const given = await inputFile(path);
  const file = given.isFolder ? await inputFile(join(path, 'data.mdb')) : given;
  const database = await LmdbFile.open(file.path);
  try {
    const { keys, keysName } = await readKeys(database);
    const form = format ?? (await recognise(database, keysName, keys));
    const counts = form === 'uniter-lmdb' ? await readCounts(path) : undefined;
    const decodeRow = rowDecoders[form];
    if (!decodeRow) throw new LxmertError('BAD_ARGUMENT', `${path}: is an LMDB, not ${form}`);
    const pending = function* (): Generator<PendingRecord> {
      for (const key of keys) {
        const name = Buffer.from(key).toString('utf8');
        const place = `${database.path}: key ${shown(name).slice(1, -1)}`;
        yield {
          place,
          image: name,
          read: async () => {
            const value = await database.get(key);
            if (value === undefined)
              throw new LxmertError(
                'BAD_DATA',
                `${place}: the list of keys (${keysName}) has it, the database does not`,
              );
            const read = await decodeRow(value, { key: name, place });
            checkCount(read, counts?.get(name), place);
            return read;
          },
        };
      }
    };
    return {
      form,
      // The file may be as long as the memory map that its writer requested.
      source: { form, files: [sourceFile(file)] },
      identity: identityOf(file),
      unit: 'record',
      images: keys.length,
      items: (from) => checkedItems(pending(), from?.records ?? 0, options),
      close: () => database.close(),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

const keyLists = ['keys', '__keys__'] as const;

/**
 * The keys of the images. If the database has a list of them, they are in the order of this list. Otherwise they are
 * all keys of the database.
 */
async function readKeys(database: LmdbFile): Promise<{ keys: readonly Uint8Array[]; keysName: string | undefined }> {
  for (const keysName of keyLists) {
    const list = await database.get(keysName);
    if (list === undefined) continue;
    const place = `${database.path}: key ${keysName}`;
    return { keys: parseKeys(list, keysName, place), keysName };
  }
  const keys: Uint8Array[] = [];
  for await (const key of database.keys()) keys.push(key);
  return { keys, keysName: undefined };
}

function parseKeys(list: Uint8Array, name: (typeof keyLists)[number], place: string): readonly Uint8Array[] {
  const found: unknown =
    name === 'keys' ? unpickled(list, place) : list[0] === 0x5b ? jsonOf(list, place) : unpacked(list, place);
  if (!Array.isArray(found)) throw new LxmertError('BAD_DATA', `${place}: is no list of keys`);
  return found.map((key: unknown) => {
    if (typeof key === 'string') return Buffer.from(key, 'utf8');
    if (key instanceof Uint8Array) return key;
    throw new LxmertError('BAD_DATA', `${place}: has a key that is no text`);
  });
}

const jsonOf = (bytes: Uint8Array, place: string): unknown => parseJson(Buffer.from(bytes).toString('utf8'), place);

function unpickled(bytes: Uint8Array, place: string): PickleValue {
  try {
    return readNumpyPickle(bytes);
  } catch (error) {
    if (error instanceof PickleFault)
      throw new LxmertError('BAD_DATA', `${place}: its pickle: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Decodes msgpack. msgpack-numpy writes an array as a map; such a map becomes an array. */
function unpacked(bytes: Uint8Array, place: string): PickleValue {
  let value: unknown;
  try {
    value = decode(bytes, {
      maxStrLength: bytes.length,
      maxBinLength: bytes.length,
      maxArrayLength: bytes.length,
      maxMapLength: bytes.length,
      maxExtLength: bytes.length,
      mapKeyConverter: (key) => {
        if (typeof key === 'string' || typeof key === 'number') return key;
        if (key instanceof Uint8Array) return Buffer.from(key).toString('utf8');
        throw new Error('a key is neither text nor a number');
      },
    });
  } catch (error) {
    throw new LxmertError('BAD_DATA', `${place}: is not msgpack: ${(error as Error).message}`, { cause: error });
  }
  return packedValue(value, place);
}

function packedValue(value: unknown, place: string): PickleValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return Number.isInteger(value) ? value : new PickleFloat(value);
  if (typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint') return value;
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map((item) => packedValue(item, place));
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${place}: a numpy array ${reason}`);
  if (!isRecord(value)) throw bad('is none');
  if (value.nd === undefined) throw bad('was expected, found a map');
  const type = value.type instanceof Uint8Array ? Buffer.from(value.type).toString('latin1') : value.type;
  const dtype = typeof type === 'string' ? numpyDtype(type) : undefined;
  if (!dtype || dtype.letter === 'O') throw bad(`has the type ${shown(String(type))}, which is not read here`);
  if (!(value.data instanceof Uint8Array)) throw bad('has no bytes');
  const array = new NumpyArray(dtype);
  array.shape = value.nd === false ? [] : (value.shape as readonly number[]);
  array.bytes = Uint8Array.from(value.data);
  if (elementCount([...array.shape]) * dtype.bytes !== array.bytes.length)
    throw bad('does not have the bytes of its shape');
  return array;
}

interface RowPlace {
  readonly key: string;
  readonly place: string;
}

type RowDecoder = (value: Uint8Array, where: RowPlace) => Promise<NamedRecord>;

const rowDecoders: Partial<Record<FormName, RowDecoder>> = {
  'volta-lmdb': async (value, { key: id, place }) => {
    const row = dictOf(unpickled(value, place), place);
    return recordOfRow(row, { id, place });
  },
  // `num_boxes` may be the number of requested boxes, or the number of boxes with a confidence. All rows are read, as
  // mmf does.
  'mmf-lmdb': async (value, { key: id, place }) =>
    recordOfRow(dictOf(unpickled(value, place), place), { id, place, counted: false }),
  'uniter-lmdb': async (value, { key, place }) => {
    const row = value[0] === 0x50 && value[1] === 0x4b ? await readNpz(value, place) : mapOf(value, place);
    return uniterRecord(row, key.replace(/\.npz$/, ''), place);
  },
  'tensorpack-lmdb': async (value, { key: id, place }) => {
    // A row is a list: features, scores of all classes, boxes, number of boxes, height, width, id, caption.
    const row = value.length > 0 && (value[0] & 0xf0) === 0x90 ? captionRow(unpacked(value, place), place) : undefined;
    return row ?? recordOfRow(mapOf(value, place), { id, place });
  },
};

function dictOf(value: PickleValue, place: string): Row {
  try {
    return itemsOf(value, 'its row');
  } catch (error) {
    if (error instanceof PickleFault) throw new LxmertError('BAD_DATA', `${place}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** A row of msgpack that is a map. */
function mapOf(bytes: Uint8Array, place: string): Row {
  let value: unknown;
  try {
    value = decode(bytes, {
      mapKeyConverter: (key) => (key instanceof Uint8Array ? Buffer.from(key).toString() : (key as string)),
    });
  } catch (error) {
    throw new LxmertError('BAD_DATA', `${place}: is not msgpack: ${(error as Error).message}`, { cause: error });
  }
  if (!isRecord(value)) throw new LxmertError('BAD_DATA', `${place}: its row is no map`);
  return new Map(Object.entries(value).map(([name, item]) => [name, packedValue(item, place)]));
}

function captionRow(value: PickleValue, place: string): NamedRecord {
  if (!Array.isArray(value) || value.length < 7)
    throw new LxmertError(
      'BAD_DATA',
      `${place}: its row has ${Array.isArray(value) ? value.length : 'no'} values; 7 were expected`,
    );
  const [features, scores, boxes, count, height, width, id] = value;
  const row = new Map<string, PickleValue>([
    ...([
      ['features', features],
      ['boxes', boxes],
      ['num_boxes', count],
    ] as const),
    ...([
      ['img_h', height],
      ['img_w', width],
      ['image_id', id],
    ] as const),
  ]);
  const { record, names } = recordOfRow(row, { id: '', place });
  return { record: { ...record, ...classesOf(scores, record.count, place) }, names };
}

function uniterRecord(row: Row, id: string, place: string): NamedRecord {
  const { record, names } = recordOfRow(row, { id, place, idIsKey: true, shares: true });
  const scores = row.get('soft_labels');
  if (scores === undefined) return { record, names };
  return { record: { ...record, objectIds: classesOf(scores, record.count, place).objectIds }, names };
}

/** The class and confidence of each object, found in the scores of all classes. The first class is the background. */
function classesOf(
  scores: PickleValue,
  rows: number,
  place: string,
): { readonly objectIds: Int32Array; readonly objectConfs: Float32Array } {
  if (!(scores instanceof NumpyArray) || scores.shape.length !== 2 || scores.shape[0] !== rows || scores.shape[1] < 2)
    throw new LxmertError(
      'BAD_DATA',
      `${place}: the scores of all classes do not have a row for each of ${rows} objects`,
    );
  const { values, places } = maxima(numpyFloats(scores), rows, scores.shape[1], 1);
  return { objectIds: places, objectConfs: values };
}

/** Recognises the form of a database from its list of keys and its first row. */
async function recognise(
  database: LmdbFile,
  keysName: string | undefined,
  keys: readonly Uint8Array[],
): Promise<FormName> {
  const first = keys.length > 0 ? await database.get(keys[0]) : undefined;
  if (first === undefined) {
    if (keys.length > 0) return 'volta-lmdb';
    throw new LxmertError('BAD_DATA', `${database.path}: has no images`);
  }
  if (keysName === '__keys__') {
    const list = await database.get('__keys__');
    return list?.[0] === 0x5b ? 'uniter-lmdb' : 'tensorpack-lmdb';
  }
  if (first[0] !== 0x80 || first[1] > 5) {
    const begin = Buffer.from(first.subarray(0, 24)).toString('latin1');
    throw new LxmertError(
      'BAD_DATA',
      `${database.path}: key ${shown(Buffer.from(keys[0]).toString('utf8'))} has a value of no form that is read here ` +
        `(it begins with ${shown(begin)}); --format says which it is`,
    );
  }
  // These are mmf's names. A row that cannot be read is reported later, when it is imported.
  const text = Buffer.from(first).toString('latin1');
  return text.includes('feature_path') || (text.includes('image_height') && text.includes('bbox'))
    ? 'mmf-lmdb'
    : 'volta-lmdb';
}

/** UNITER's `nbb_….json` beside the folder: how many boxes each image has. */
async function readCounts(path: string): Promise<ReadonlyMap<string, number> | undefined> {
  const folder = path.replace(/\/+$/, '').replace(/\/data\.mdb$/, '');
  const found = /^(.*\/|)feat_(th[^/]*?|numbb\d+)(_compressed)?$/.exec(folder);
  if (!found) return undefined;
  const file = `${found[1]}nbb_${found[2]}.json`;
  if (!(await isThere(file))) return undefined;
  const counts = await readJson(file, 'the number of boxes of each image');
  if (!isRecord(counts)) throw new LxmertError('BAD_DATA', `${file}: must be an object of numbers of boxes`);
  return new Map(Object.entries(counts).map(([name, count]) => [name, Number(count)]));
}

function checkCount({ record }: NamedRecord, expected: number | undefined, place: string): void {
  if (expected !== undefined && expected !== record.count)
    throw new LxmertError('BAD_DATA', `${place}: has ${record.count} boxes, its nbb file says ${expected}`);
}

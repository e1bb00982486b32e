import { LxmertError } from '../errors.js';
import { isRecord } from '../records.js';
import { dtypes, isDtype } from './dtypes.js';
import type { Dtype } from './dtypes.js';
import { repeatedKey } from './repeatedKey.js';
import { shown } from './shown.js';

/** Name, dtype and shape of a tensor. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** One tensor with its place in the file. */
export interface TensorEntry extends TensorSpec {
  /** Number of elements. */
  readonly count: number;
  /** Position of the first byte in the file, and number of bytes. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order. */
  readonly entries: readonly TensorEntry[];
}

/** The largest header that the format allows. */
export const maxHeaderBytes = 100_000_000;

/** Size of the length field before the header. */
export const lengthBytes = 8;

/** Number of elements of a shape; NaN if it is not a list of sizes, or the product is not a safe integer. */
export function elementCount(shape: unknown): number {
  if (!Array.isArray(shape)) return NaN;
  let product = 1;
  for (const size of shape as unknown[]) {
    if (!Number.isSafeInteger(size) || (size as number) < 0) return NaN;
    product *= size as number;
    if (!Number.isSafeInteger(product)) return NaN;
  }
  return product;
}

/**
 * Reads the length field.
 * @throws BAD_DATA if a header of this length does not fit into the file
 */
export function parseHeaderLength(field: Uint8Array, fileBytes: number, file: string): number {
  if (fileBytes < lengthBytes || field.byteLength < lengthBytes)
    throw bad(
      file,
      `the file has ${fileBytes} bytes; a safetensors file begins with the 8 bytes of its header's length`,
    );
  const length = new DataView(field.buffer, field.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw bad(
      file,
      `it claims a header of ${length} bytes; at most ${maxHeaderBytes} are allowed. Is it a safetensors file?`,
    );
  if (Number(length) + lengthBytes > fileBytes)
    throw bad(
      file,
      `it claims a header of ${length} bytes but has only ${fileBytes - lengthBytes} after the length: the file is cut short`,
    );
  return Number(length);
}

/**
 * Parses and checks the JSON header. Dtypes must be supported, sizes must be whole numbers, and shape × dtype must be
 * the length. The byte ranges must cover the data exactly, without overlaps and gaps.
 * @param json the header's bytes
 * @throws BAD_DATA naming the file and the tensor
 */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): SafetensorsHeader {
  const root = parseObject(json, file);
  let metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  const start = lengthBytes + json.byteLength;
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') metadata = parseMetadata(value, file);
    else entries.push(parseEntry(name, value, start, file));
  }
  entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = start;
  for (const entry of entries) {
    if (entry.offset < end) throw bad(file, `tensor '${entry.name}' overlaps the one before it`);
    if (entry.offset > end)
      throw bad(file, `${entry.offset - end} bytes before tensor '${entry.name}' belong to no tensor`);
    end = entry.offset + entry.byteLength;
    if (end > fileBytes)
      throw bad(
        file,
        `tensor '${entry.name}' ends at byte ${end} but the file has ${fileBytes}: the file is cut short`,
      );
  }
  if (end !== fileBytes) throw bad(file, `${fileBytes - end} bytes after the last tensor belong to no tensor`);
  return { metadata, entries };
}

/**
 * Computes the layout of a file. Tensors with larger elements come first, so that every tensor is aligned to its element
 * size. The data begin at a multiple of 64 bytes.
 * @throws BAD_ARGUMENT for a name that is given twice, or an invalid shape
 */
export function layOut(
  specs: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>>,
): { readonly header: Uint8Array; readonly entries: readonly TensorEntry[]; readonly fileBytes: number } {
  const ordered = [...specs].sort((a, b) => dtypes[b.dtype].bytes - dtypes[a.dtype].bytes);
  const root: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  const seen = new Set(['__metadata__']);
  const placed: { spec: TensorSpec; count: number; begin: number; byteLength: number }[] = [];
  let end = 0;
  for (const spec of ordered) {
    const count = elementCount(spec.shape);
    const byteLength = count * dtypes[spec.dtype].bytes;
    if (!Number.isSafeInteger(byteLength))
      throw new LxmertError('BAD_ARGUMENT', `tensor '${spec.name}' has the shape ${JSON.stringify(spec.shape)}`);
    if (seen.has(spec.name)) throw new LxmertError('BAD_ARGUMENT', `two tensors have the name '${spec.name}'`);
    seen.add(spec.name);
    placed.push({ spec, count, begin: end, byteLength });
    root.push([spec.name, { dtype: spec.dtype, shape: spec.shape, data_offsets: [end, end + byteLength] }]);
    end += byteLength;
  }
  const body = `{${root.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = Buffer.from(body, 'utf8');
  const start = Math.ceil((lengthBytes + text.byteLength) / 64) * 64;
  if (start - lengthBytes > maxHeaderBytes)
    throw new LxmertError('BAD_ARGUMENT', `${specs.length} tensors need a header over ${maxHeaderBytes} bytes`);
  const header = Buffer.alloc(start, ' ');
  header.writeBigUInt64LE(BigInt(start - lengthBytes), 0);
  text.copy(header, lengthBytes);
  const entries = placed.map(({ spec, count, begin, byteLength }) => ({
    ...spec,
    count,
    byteLength,
    offset: start + begin,
  }));
  return { header, entries, fileBytes: start + end };
}

function bad(file: string, reason: string): LxmertError {
  return new LxmertError('BAD_DATA', `${file}: ${reason}`);
}

function parseObject(json: Uint8Array, file: string): Record<string, unknown> {
  if (json[0] !== 0x7b) throw bad(file, "its header does not begin with '{'. Is it a safetensors file?");
  let root: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(json);
    root = JSON.parse(text);
  } catch (error) {
    throw new LxmertError('BAD_DATA', `${file}: its header is not JSON. Is it a safetensors file?`, { cause: error });
  }
  if (!isRecord(root)) throw bad(file, 'its header is not a JSON object');
  const twice = repeatedKey(text);
  if (twice !== undefined) throw bad(file, `its header has ${shown(twice)} twice`);
  return root;
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isRecord(value) || Object.values(value).some((text) => typeof text !== 'string'))
    throw bad(file, "'__metadata__' must be an object of strings");
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, start: number, file: string): TensorEntry {
  const where = `tensor '${name}'`;
  if (!isRecord(value)) throw bad(file, `${where} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype))
    throw bad(file, `${where} has the dtype ${JSON.stringify(dtype)}; known are ${Object.keys(dtypes).join(', ')}`);
  const count = elementCount(shape);
  const byteLength = count * dtypes[dtype].bytes;
  if (!Number.isSafeInteger(byteLength)) throw bad(file, `${where} has the shape ${JSON.stringify(shape)}`);
  if (
    !Array.isArray(offsets) ||
    offsets.length !== 2 ||
    !offsets.every((offset) => Number.isSafeInteger(offset) && (offset as number) >= 0)
  )
    throw bad(file, `${where} has the data_offsets ${JSON.stringify(offsets)}; expected two byte positions`);
  const [begin, end] = offsets as [number, number];
  if (end - begin !== byteLength)
    throw bad(
      file,
      `${where} has ${end - begin} bytes, but ${dtype} of shape ${JSON.stringify(shape)} needs ${byteLength}`,
    );
  return { name, dtype, shape: shape as number[], count, offset: start + begin, byteLength };
}

import { LxmertError, isLxmertError } from '../errors.js';
import { allocateObjectRows } from '../data/features/featureSource.js';
import { decodeBase64 } from '../data/features/tsvBase64.js';
import { fieldError } from '../data/features/tsvColumns.js';
import { parseTsvLine } from '../data/features/tsvLine.js';
import { decodeDetections, decodeFeatures } from '../data/features/tsvValues.js';
import { crcOf, fieldsOf, narrow } from '../data/store/record.js';
import type { EncodedRecord, RecordLimits } from '../data/store/record.js';
import { decodeFeatures as decodeNatively } from '../io/decodeFeatures.js';
import type { StoreDtype } from '../data/store/storeForm.js';

/** Whole lines of a TSV. */
export interface TsvBlock {
  /** The path of the file. For an archive, the name of the entry follows. */
  readonly path: string;
  /** Shared memory with the lines, each with its line feed; the last line of a file may have none. */
  readonly bytes: Uint8Array;
  /** Number of the first line, from 1. */
  readonly line: number;
  /** Whether the file ends with this block. */
  readonly last: boolean;
}

/** The result of one line: a record or a fault. Empty lines are not in the list. */
export interface TsvItem {
  readonly line: number;
  /** Bytes of the block up to the end of this line, its line feed included. */
  readonly end: number;
  readonly record?: EncodedRecord;
  readonly fault?: { readonly image: string | undefined; readonly message: string };
}

export interface TsvSettings extends RecordLimits {
  readonly dtype: StoreDtype;
}

/** Makes a function that decodes blocks. All calls share memory for one image's features. */
export function tsvDecoder({ dtype, objectLabels, attributeLabels }: TsvSettings) {
  let scratch = new Float32Array(0);
  let rows = allocateObjectRows(0, 0);

  /** Features go into `output`, which is as large as the block; records have views of it. */
  return function decode(block: TsvBlock, output: Uint8Array): TsvItem[] {
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.length);
    const items: TsvItem[] = [];
    let used = 0;
    let line = block.line;
    for (let start = 0; start < bytes.length; line++) {
      const feed = bytes.indexOf(0x0a, start);
      const end = feed < 0 ? bytes.length : feed;
      const text = bytes.subarray(start, bytes[end - 1] === 0x0d && end > start ? end - 1 : end);
      start = end + 1;
      if (text.length === 0) continue;
      const here = { line, end: Math.min(start, bytes.length) };
      try {
        const record = decodeLine(text, { path: block.path, line, objectLabels, attributeLabels }, output, used);
        used += Math.ceil(record.features.byteLength / 4) * 4;
        items.push({ ...here, record });
      } catch (error) {
        if (!isLxmertError(error)) throw error;
        const cut = feed < 0 ? '; the last line has no line feed: the file is probably cut off' : '';
        items.push({ ...here, fault: { image: idOf(text), message: error.message + cut } });
      }
    }
    return items;
  };

  function decodeLine(
    text: Buffer,
    context: { path: string; line: number; objectLabels: number; attributeLabels: number },
    output: Uint8Array,
    used: number,
  ): EncodedRecord {
    const parsed = parseTsvLine(text, context);
    const { imageId: id, width, height, numBoxes: count, featureDim, starts } = parsed;
    if (rows.objectIds.length < count) rows = allocateObjectRows(count, 0);
    try {
      decodeDetections(text, parsed, context, rows, 0);
    } catch (error) {
      throw withClasses(error);
    }
    const boxes = new Float32Array(4 * count);
    // `decodeDetections` has divided the boxes by the picture's size. The store needs pixels, so they are decoded again.
    decodeBase64(text, starts[8], starts[9] - 1, new Uint8Array(boxes.buffer), (problem) =>
      fieldError({ ...context, imageId: id }, 'boxes', problem),
    );
    const numbers = count * featureDim;
    const place = `${context.path}: line ${context.line}`;
    const partial = {
      ...{ id, place, width, height, count, boxes, shares: false },
      objectIds: rows.objectIds.slice(0, count),
      objectConfs: rows.objectConfs.slice(0, count),
      attrIds: rows.attrIds.slice(0, count),
      attrConfs: rows.attrConfs.slice(0, count),
    };
    const at = output.byteOffset + used;
    let features: Float32Array | Uint16Array;
    if (dtype === 'float32') {
      features = new Float32Array(output.buffer, at, numbers);
      decodeFeatures(text, parsed, context, features);
    } else if (decodeNatively(text, starts[9], text.length, new Uint16Array(output.buffer, at, numbers))) {
      features = new Uint16Array(output.buffer, at, numbers);
    } else {
      // There is a fault, or there may be one. The slower functions find out which.
      if (scratch.length < numbers) scratch = new Float32Array(numbers);
      const floats = scratch.subarray(0, numbers);
      decodeFeatures(text, parsed, context, floats);
      features = narrow({ ...partial, features: floats }, new Uint16Array(output.buffer, at, numbers));
    }
    const record = { ...partial, features };
    return { ...record, fields: fieldsOf(record), crc: crcOf(record) };
  }
}

/** Adds a hint to an error about a class that is too large. */
function withClasses(error: unknown): unknown {
  if (!isLxmertError(error) || !/objects_id must be|attrs_id must be/.test(error.message)) return error;
  return new LxmertError(error.code, `${error.message}; for more classes see --classes`, { cause: error });
}

/** The first column of a line, to name the image that is left out; undefined if there is none. */
function idOf(line: Buffer): string | undefined {
  const end = line.indexOf(0x09);
  return end > 0 && end <= 1024 ? line.toString('utf8', 0, end) : undefined;
}

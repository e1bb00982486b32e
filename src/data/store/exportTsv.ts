import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, temporaryBeside } from '../../formats/atomicFile.js';
import { fileError } from '../../formats/fileErrors.js';
import { toFloat32 } from '../../formats/dtypes.js';
import { openStore } from './openStore.js';
import { fieldBits, fieldNames, storeFields } from './storeForm.js';
import type { StoreIndex } from './storeIndex.js';
import type { StoredRecord } from './storeReader.js';

const BUFFER = 4 * 2 ** 20;

export interface ExportOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onImage?: ((images: number, all: number) => void) | undefined;
}

export interface ExportReport {
  readonly images: number;
  readonly bytes: number;
  /** The fields that the store, and therefore the file, does not have: one sentence for each field. */
  readonly warnings: readonly string[];
}

/**
 * Writes a store as the original's TSV. An existing file of that name is replaced in one operation, when the new file
 * is complete. A picture size that the store does not have becomes 0. Classes and confidences that it does not have
 * become empty columns. The checksum of every image is compared.
 */
export async function exportTsv(
  path: string,
  out: string,
  { signal, onImage }: ExportOptions = {},
): Promise<ExportReport> {
  const store = await openStore(path);
  const { index, imageIds, manifest, reader } = store;
  const temporary = temporaryBeside(out);
  try {
    const file = await open(temporary, 'wx');
    let bytes = 0;
    try {
      let lines: Buffer[] = [];
      let waiting = 0;
      const flush = async () => {
        const { bytesWritten } = await file.writev(lines);
        if (bytesWritten !== waiting) throw new Error('the system wrote less than it was given');
        bytes += waiting;
        [lines, waiting] = [[], 0];
      };
      for (let image = 0; image < imageIds.length; image++) {
        signal?.throwIfAborted();
        const line = lineOf(imageIds[image], index, image, await reader.rawRecord(image));
        lines.push(line);
        waiting += line.length;
        if (waiting >= BUFFER) await flush();
        onImage?.(image + 1, imageIds.length);
      }
      if (waiting > 0) await flush();
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, out);
    await syncFolder(dirname(out));
    return { images: manifest.images, bytes, warnings: warningsOf(manifest.has, manifest.images, index) };
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write', out);
  } finally {
    await reader.close();
  }
}

function warningsOf(has: Readonly<Record<string, number>>, images: number, index: StoreIndex): string[] {
  const missing = storeFields.filter((field) => has[field] < images);
  const unknowable = index.fields.some((bits) => (bits & fieldBits.shares) !== 0 && (bits & fieldBits.size) === 0);
  return [
    ...missing.map(
      (field) =>
        `${images - has[field]} of ${images} images have no ${fieldNames[field]}: ` +
        (field === 'size' ? 'img_h and img_w are 0' : 'those columns are empty'),
    ),
    ...(unknowable ? ['boxes of images without a size are shares of the picture, not pixels'] : []),
  ];
}

const base64 = (values: NodeJS.TypedArray): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

const wide = (ids: Int32Array | undefined): string =>
  ids === undefined ? '' : base64(BigInt64Array.from(ids, (id) => BigInt(id)));

function lineOf(id: string, index: StoreIndex, image: number, record: StoredRecord): Buffer {
  const { features, objectIds, objectConfs, attrIds, attrConfs, count } = record;
  const [width, height] = [index.widths[image], index.heights[image]];
  const isShare = (index.fields[image] & fieldBits.shares) !== 0;
  const boxes =
    isShare && width > 0 ? record.boxes.map((share, i) => share * (i % 2 === 0 ? width : height)) : record.boxes;
  const columns = [
    ...[id, String(height), String(width)],
    ...[wide(objectIds), objectConfs === undefined ? '' : base64(objectConfs)],
    ...[wide(attrIds), attrConfs === undefined ? '' : base64(attrConfs)],
    ...[String(count), base64(boxes)],
    base64(features instanceof Uint16Array ? toFloat32('F16', features) : features),
  ];
  return Buffer.from(`${columns.join('\t')}\n`, 'utf8');
}

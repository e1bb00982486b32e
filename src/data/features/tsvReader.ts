import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import type { FeatureReader, ObjectRows, SharedTsv } from './featureSource.js';
import { featureFault } from './featureValues.js';
import { decodeBase64Text } from './tsvBase64.js';
import { fieldError } from './tsvColumns.js';
import type { TsvContext } from './tsvColumns.js';
import { parseTsvLine } from './tsvLine.js';
import { decodeTsvLine } from './tsvValues.js';

/** Opens an indexed TSV again, in another thread. Rejects with BAD_DATA if the file has changed. */
export async function reopenTsv(shared: SharedTsv): Promise<FeatureReader> {
  const { path } = shared;
  const failure = (error: unknown): LxmertError => readFailure(path, 'a feature TSV', error);
  const handle = await open(path).catch((error: unknown) => {
    throw failure(error);
  });
  try {
    const { size, mtimeMs } = await handle.stat();
    if (size !== shared.size || mtimeMs !== shared.modified) {
      throw new LxmertError('BAD_DATA', `${path}: has changed since it was opened`);
    }
  } catch (error) {
    await handle.close();
    throw failure(error);
  }
  return new TsvReader(handle, shared);
}

/** Reads images of a TSV at the places in its index. */
export class TsvReader implements FeatureReader {
  readonly shared: SharedTsv;
  readonly #handle: FileHandle;
  /**
   * Unused buffers for lines. They are kept because allocating new memory of this size takes as long as decoding a
   * line.
   */
  readonly #spare: Buffer[] = [];
  #closed: Promise<void> | undefined;

  constructor(handle: FileHandle, shared: SharedTsv) {
    this.#handle = handle;
    this.shared = shared;
  }

  get path(): string {
    return this.shared.path;
  }

  get featureDim(): number {
    return this.shared.featureDim;
  }

  placeOf(image: number): string {
    return `${this.shared.path}: line ${this.shared.index.lines[image]}`;
  }

  numObjects(image: number): number {
    return this.shared.index.numBoxes[image];
  }

  async read(image: number, rows: ObjectRows, row: number): Promise<void> {
    const length = this.shared.index.lengths[image];
    const spare = this.#spare.pop();
    const buffer = spare !== undefined && spare.length >= length ? spare : Buffer.allocUnsafe(length);
    const line = await this.#fill(buffer.subarray(0, length), image, this.shared.index.offsets[image]);
    const context = this.#context(image);
    const parsed = parseTsvLine(line, context);
    if (
      !line.subarray(0, parsed.starts[1] - 1).equals(this.#idOf(image)) ||
      parsed.numBoxes !== this.numObjects(image) ||
      parsed.featureDim !== this.featureDim
    ) {
      throw fieldError(context, '', 'has changed since the file was opened');
    }
    decodeTsvLine(line, parsed, context, rows, row);
    this.#spare.push(buffer);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    const width = this.featureDim;
    const firstByte = object * width * 4;
    const lastByte = firstByte + width * 4;
    // In base64 each group of 4 characters encodes 3 bytes.
    const firstGroup = Math.floor(firstByte / 3);
    const groups = Math.ceil(lastByte / 3) - firstGroup;
    const start = this.shared.index.featureOffsets[image] + firstGroup * 4;
    const text = (await this.#fill(Buffer.allocUnsafe(groups * 4), image, start)).toString('latin1');
    const endsFeatures = object === this.numObjects(image) - 1;
    const decoded = new Uint8Array(endsFeatures ? lastByte - firstGroup * 3 : groups * 3);
    const context = this.#context(image);
    decodeBase64Text(text, decoded, () => fieldError(context, 'features', `of object ${object} is not base64`));
    const skip = firstByte - firstGroup * 3;
    const feature = new Float32Array(decoded.slice(skip, skip + width * 4).buffer);
    const fault = featureFault(feature, width, object);
    if (fault !== undefined) throw fieldError(context, 'features', fault);
    features.set(feature, offset);
  }

  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    return this.#closed;
  }

  #context(image: number): TsvContext {
    const { path, objectLabels, attributeLabels, index } = this.shared;
    const imageId = Buffer.from(this.#idOf(image)).toString('utf8');
    return { path, objectLabels, attributeLabels, line: index.lines[image], imageId };
  }

  #idOf(image: number): Uint8Array {
    const { ids, idOffsets } = this.shared.index;
    return ids.subarray(idOffsets[image], idOffsets[image + 1]);
  }

  /** Fills `buffer` with bytes of the file from `offset` on. */
  async #fill(buffer: Buffer, image: number, offset: number): Promise<Buffer> {
    let filled = 0;
    try {
      while (filled < buffer.length) {
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
        if (bytesRead === 0) {
          throw fieldError(this.#context(image), '', 'is gone: the file has become shorter since it was opened');
        }
        filled += bytesRead;
      }
    } catch (error) {
      throw readFailure(this.path, 'a feature TSV', error);
    }
    return buffer;
  }
}

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { writeFully } from '../../formats/atomicFile.js';
import { fileError } from '../../formats/fileErrors.js';
import { Growable } from '../growable.js';
import type { EncodedRecord } from './record.js';
import { fieldBits } from './storeForm.js';
import type { StoreDtype } from './storeForm.js';

/**
 * Bytes reserved for the header, a multiple of 64. The header is written last, because it contains the number of rows.
 */
const HEADER_BYTES = 1024;
/** Size of a buffer for features. A full buffer is written to the file. */
const BUFFER_BYTES = 8 * 2 ** 20;

/**
 * The tensors besides `features`: name, type, how many numbers an object has, and the bit of `fields`. A tensor is
 * written only if a record has its bit. A tensor with the bit 0 is always written.
 */
const columns = [
  { name: 'boxes', dtype: 'F32', width: 4, bit: 0 },
  { name: 'object_confs', dtype: 'F32', width: 1, bit: fieldBits.object_confs },
  { name: 'attr_confs', dtype: 'F32', width: 1, bit: fieldBits.attr_confs },
  { name: 'object_ids', dtype: 'I32', width: 1, bit: fieldBits.object_ids },
  { name: 'attr_ids', dtype: 'I32', width: 1, bit: fieldBits.attr_ids },
] as const;

/**
 * Writes one shard: a safetensors file with features, boxes, classes and confidences of some images. Each object is one
 * row. Images are added one by one. Features are written to the file soon, and all other values are kept in memory
 * until `finish` (32 bytes for each object).
 */
export class ShardWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #dtype: StoreDtype;
  readonly #featureDim: number;
  readonly #columns = {
    boxes: new Growable((n) => new Float32Array(n)),
    object_confs: new Growable((n) => new Float32Array(n)),
    attr_confs: new Growable((n) => new Float32Array(n)),
    object_ids: new Growable((n) => new Int32Array(n)),
    attr_ids: new Growable((n) => new Int32Array(n)),
  };
  /** There are two buffers. One is filled while the other is written. */
  #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #other = Buffer.allocUnsafe(BUFFER_BYTES);
  #filled = 0;
  #end = HEADER_BYTES;
  #writing: Promise<void> = Promise.resolve();
  #fields = 0;
  #rows = 0;

  private constructor(path: string, file: FileHandle, dtype: StoreDtype, featureDim: number) {
    this.path = path;
    this.#file = file;
    this.#dtype = dtype;
    this.#featureDim = featureDim;
  }

  /** @throws FILE_ACCESS */
  static async create(path: string, dtype: StoreDtype, featureDim: number): Promise<ShardWriter> {
    try {
      return new ShardWriter(path, await open(path, 'w'), dtype, featureDim);
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  /** Number of objects added so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Bytes of the features added so far. */
  get featureBytes(): number {
    return this.#end + this.#filled - HEADER_BYTES;
  }

  /** Adds an image. @returns its first row */
  async add(record: EncodedRecord): Promise<number> {
    const row = this.#rows;
    const { count, features, fields } = record;
    const of = (values: ArrayLike<number> | undefined, without: number) =>
      values ?? new Array<number>(count).fill(without);
    this.#columns.boxes.append(record.boxes);
    this.#columns.object_confs.append(of(record.objectConfs, 0));
    this.#columns.attr_confs.append(of(record.attrConfs, 0));
    this.#columns.object_ids.append(of(record.objectIds, -1));
    this.#columns.attr_ids.append(of(record.attrIds, -1));
    this.#fields |= fields;
    this.#rows += count;
    await this.#write(new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
    return row;
  }

  /** Writes the other tensors and the header, syncs and closes the file. @returns the size of the file */
  async finish(): Promise<number> {
    try {
      await this.#flush();
      await this.#writing;
      const tensors: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = {};
      const place = (name: string, dtype: string, shape: number[], from: number, to: number) => {
        tensors[name] = { dtype, shape, data_offsets: [from - HEADER_BYTES, to - HEADER_BYTES] };
      };
      const type = this.#dtype === 'float16' ? 'F16' : 'F32';
      // If there is an odd count of float16 numbers, the next tensor is not aligned to 4 bytes. Safetensors allows
      // this.
      place('features', type, [this.#rows, this.#featureDim], HEADER_BYTES, this.#end);
      for (const { name, dtype, width, bit } of columns) {
        if (bit !== 0 && (this.#fields & bit) === 0) continue;
        const values = this.#columns[name].finish();
        await writeFully(this.#file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength), this.#end);
        const from = this.#end;
        this.#end += values.byteLength;
        place(name, dtype, width === 1 ? [this.#rows] : [this.#rows, width], from, this.#end);
      }
      const header = Buffer.alloc(HEADER_BYTES, ' ');
      header.writeBigUInt64LE(BigInt(HEADER_BYTES - 8), 0);
      header.write(JSON.stringify({ __metadata__: { format: 'pt' }, ...tensors }), 8, 'utf8');
      await writeFully(this.#file, header, 0);
      await this.#file.sync();
      return this.#end;
    } catch (error) {
      throw fileError(error, 'write', this.path);
    } finally {
      await this.#file.close();
    }
  }

  /** Closes the file without finishing it. The unfinished file is not removed. */
  async abort(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#file.close().catch(() => undefined);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + this.#buffer.length - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      done += part.length;
      if (this.#filled === this.#buffer.length) await this.#flush();
    }
  }

  /** Waits until the other buffer is written, and then begins to write the filled buffer. */
  async #flush(): Promise<void> {
    await this.#writing.catch((error: unknown) => {
      throw fileError(error, 'write', this.path);
    });
    const [full, length, at] = [this.#buffer, this.#filled, this.#end];
    [this.#buffer, this.#other] = [this.#other, this.#buffer];
    this.#filled = 0;
    this.#end += length;
    this.#writing = writeFully(this.#file, full.subarray(0, length), at);
    // An error is thrown by the next `await` of this promise.
    this.#writing.catch(() => undefined);
  }
}

/** SHA-256 of a file. @throws FILE_MISSING, FILE_ACCESS */
export async function sha256OfFile(path: string, onBytes?: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 4 * 2 ** 20 })) {
      hash.update(chunk as Buffer);
      onBytes?.((chunk as Buffer).length);
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  return hash.digest('hex');
}

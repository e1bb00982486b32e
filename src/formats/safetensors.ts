import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { writeFully } from './atomicFile.js';
import { dtypes, toFloat32 } from './dtypes.js';
import type { TensorValues } from './dtypes.js';
import { fileError } from './fileErrors.js';
import { RegularFile } from './regularFile.js';
import { layOut, lengthBytes, parseHeader, parseHeaderLength } from './safetensorsHeader.js';
import type { TensorEntry, TensorSpec } from './safetensorsHeader.js';

export type { Dtype, TensorValues } from './dtypes.js';
export type { TensorEntry, TensorSpec } from './safetensorsHeader.js';

/** An open safetensors file. Its header has been checked; tensors are read on request. */
export class SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in file order. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly #file: RegularFile;

  private constructor(
    path: string,
    file: RegularFile,
    metadata: Readonly<Record<string, string>>,
    entries: readonly TensorEntry[],
  ) {
    this.path = path;
    this.#file = file;
    this.metadata = metadata;
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
  }

  /** @throws FILE_MISSING, FILE_ACCESS, BAD_DATA (header), naming the file and the tensor */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await RegularFile.open(path);
    try {
      const field = await file.read(0, Math.min(file.size, lengthBytes));
      const json = await file.read(lengthBytes, parseHeaderLength(field, file.size, path));
      const { metadata, entries } = parseHeader(json, file.size, path);
      return new SafetensorsFile(path, file, metadata, entries);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** @throws BAD_DATA if the file has no tensor of this name */
  entry(name: string): TensorEntry {
    const entry = this.entries.get(name);
    if (!entry) throw new LxmertError('BAD_DATA', `${this.path}: it has no tensor '${name}'`);
    return entry;
  }

  /** Reads a tensor in the array type of its dtype (F16 and BF16 as bits). */
  async read(name: string): Promise<TensorValues> {
    const entry = this.entry(name);
    const bytes = await this.#file.read(entry.offset, entry.byteLength);
    return new dtypes[entry.dtype].array(bytes.buffer);
  }

  /** Reads a tensor in pieces. A piece is valid only until the next piece. */
  async *pieces(name: string): AsyncGenerator<TensorValues, void, undefined> {
    const { dtype, offset, byteLength } = this.entry(name);
    const { bytes, array } = dtypes[dtype];
    for await (const piece of this.#file.pieces(offset, byteLength))
      yield new array(piece.buffer, piece.byteOffset, piece.byteLength / bytes);
  }

  /** Reads a tensor of any dtype and converts it to float32. */
  async readFloat32(name: string): Promise<Float32Array> {
    return toFloat32(this.entry(name).dtype, await this.read(name));
  }

  /** Reads an integer tensor as int32. @throws BAD_DATA if it has no integers, or a value does not fit */
  async readInt32(name: string): Promise<Int32Array> {
    const { dtype } = this.entry(name);
    if (dtype.startsWith('F') || dtype.startsWith('BF'))
      throw new LxmertError('BAD_DATA', `${this.path}: tensor '${name}' is ${dtype}; expected integers`);
    const values = await this.read(name);
    if (values instanceof Int32Array) return values;
    const result = new Int32Array(values.length);
    for (let i = 0; i < result.length; i++) {
      result[i] = Number(values[i]);
      if (result[i] !== Number(values[i]))
        throw new LxmertError(
          'BAD_DATA',
          `${this.path}: tensor '${name}' holds ${values[i]} at ${i}, beyond 32-bit integers`,
        );
    }
    return result;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Writes a new safetensors file tensor by tensor, in any order. `finish` or `abort` must be called. The file is complete
 * only after `finish`, so write it under a temporary name and rename it.
 */
export class SafetensorsWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #entries: ReadonlyMap<string, TensorEntry>;
  /** For each tensor, the number of elements that are not written yet. */
  readonly #missing: Map<string, number>;

  private constructor(path: string, file: FileHandle, entries: readonly TensorEntry[]) {
    this.path = path;
    this.#file = file;
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.#missing = new Map(entries.filter(({ count }) => count > 0).map(({ name, count }) => [name, count]));
  }

  /** @throws BAD_ARGUMENT (specs), FILE_ACCESS; the file must not exist yet */
  static async create(
    path: string,
    specs: readonly TensorSpec[],
    { metadata = { format: 'pt' } }: { readonly metadata?: Readonly<Record<string, string>> } = {},
  ): Promise<SafetensorsWriter> {
    const { header, entries, fileBytes } = layOut(specs, metadata);
    try {
      const file = await open(path, 'wx');
      try {
        await writeFully(file, header, 0);
        await file.truncate(fileBytes);
      } catch (error) {
        await file.close();
        throw error;
      }
      return new SafetensorsWriter(path, file, entries);
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  /**
   * Writes a tensor, or a part of it from element `start` on; parts must not overlap.
   * @throws BAD_ARGUMENT for a wrong name, array type or length; FILE_ACCESS
   */
  async write(name: string, values: TensorValues, start = 0): Promise<void> {
    const entry = this.#entries.get(name);
    const missing = this.#missing.get(name) ?? 0;
    if (!entry) throw new LxmertError('BAD_ARGUMENT', `${this.path}: no tensor '${name}' was declared`);
    const { bytes, array } = dtypes[entry.dtype];
    if (Object.prototype.toString.call(values) !== `[object ${array.name}]`)
      throw new LxmertError('BAD_ARGUMENT', `tensor '${name}' is ${entry.dtype}; expected values in a ${array.name}`);
    if (start < 0 || start + values.length > entry.count || values.length > missing)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `tensor '${name}' has ${entry.count} elements, ${missing} still to write; got ${values.length} from ${start} on`,
      );
    try {
      const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      await writeFully(this.#file, data, entry.offset + start * bytes);
    } catch (error) {
      throw fileError(error, `write tensor '${name}' of`, this.path);
    }
    this.#missing.set(name, missing - values.length);
  }

  /** Syncs and closes. @throws BAD_ARGUMENT when a tensor was not written; FILE_ACCESS */
  async finish(): Promise<void> {
    try {
      for (const [name, count] of this.#missing)
        if (count > 0)
          throw new LxmertError('BAD_ARGUMENT', `${this.path}: ${count} elements of tensor '${name}' were not written`);
      await this.#file.sync();
    } catch (error) {
      throw fileError(error, 'write', this.path);
    } finally {
      await this.#file.close();
    }
  }

  /** Closes the unfinished file. The caller must remove it. */
  async abort(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}

/**
 * Writes a complete safetensors file and syncs it. Calls `valuesOf` for one tensor at a time. It gives all values at once, or
 * pieces that are valid only until the next piece.
 */
export async function writeSafetensors(
  path: string,
  specs: readonly TensorSpec[],
  valuesOf: (name: string) => TensorValues | Promise<TensorValues> | AsyncIterable<TensorValues>,
  options: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const writer = await SafetensorsWriter.create(path, specs, options);
  try {
    for (const { name } of specs) {
      const values = valuesOf(name);
      if (Symbol.asyncIterator in values) {
        let start = 0;
        for await (const piece of values) {
          await writer.write(name, piece, start);
          start += piece.length;
        }
      } else await writer.write(name, await values);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}

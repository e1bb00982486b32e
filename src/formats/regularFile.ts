import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { fileError } from './fileErrors.js';

/** Largest read at once; Node cannot read 2 GiB or more at once. */
const chunkBytes = 1 << 30;

/** Bytes of a piece, if a range is read in pieces. */
const pieceBytes = 4 << 20;

/** A file on disk, read by position. A pipe, a device or a folder is refused before opening it, which could block. */
export class RegularFile {
  readonly path: string;
  /** The size in bytes when the file was opened. */
  readonly size: number;
  readonly #file: FileHandle;
  /** A buffer for pieces that is not in use. Using it again is much faster than allocating new memory. */
  #spare: Uint8Array<ArrayBuffer> | undefined;

  private constructor(path: string, size: number, file: FileHandle) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  /** @throws FILE_MISSING, FILE_ACCESS naming the path */
  static async open(path: string): Promise<RegularFile> {
    try {
      const status = await stat(path);
      if (status.isDirectory())
        throw new LxmertError('FILE_ACCESS', `cannot read ${path}: it is a folder; expected a file`);
      if (!status.isFile())
        throw new LxmertError('FILE_ACCESS', `cannot read ${path}: it is no regular file, but a pipe or a device`);
      const file = await open(path, 'r');
      return new RegularFile(path, (await file.stat()).size, file);
    } catch (error) {
      throw fileError(error, 'read', path);
    }
  }

  /**
   * Reads `length` bytes from `position` on, into new memory.
   * @throws BAD_DATA if the file has fewer bytes, before memory is allocated; FILE_ACCESS
   */
  async read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#demandRange(position, length);
    const bytes = new Uint8Array(length);
    await this.#fill(bytes, position);
    return bytes;
  }

  /** Reads the same bytes in pieces. A piece is valid only until the next piece. Each length but the last is a multiple of 8. */
  async *pieces(position: number, length: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    this.#demandRange(position, length);
    const buffer = this.#spare ?? new Uint8Array(pieceBytes);
    this.#spare = undefined;
    try {
      for (let done = 0; done < length; done += pieceBytes) {
        const piece = buffer.subarray(0, Math.min(pieceBytes, length - done));
        await this.#fill(piece, position + done);
        yield piece;
      }
    } finally {
      this.#spare = buffer;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #demandRange(position: number, length: number): void {
    const whole = Number.isSafeInteger(position) && Number.isSafeInteger(length);
    if (whole && position >= 0 && length >= 0 && position + length <= this.size) return;
    throw new LxmertError(
      'BAD_DATA',
      `${this.path}: it has ${this.size} bytes; bytes ${position} to ${position + length} were expected. Is it complete?`,
    );
  }

  async #fill(into: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < into.byteLength) {
      let bytesRead: number;
      try {
        const length = Math.min(into.byteLength - done, chunkBytes);
        ({ bytesRead } = await this.#file.read(into, done, length, position + done));
      } catch (error) {
        throw fileError(error, 'read', this.path);
      }
      if (bytesRead === 0)
        throw new LxmertError(
          'BAD_DATA',
          `${this.path}: it ends at byte ${position + done}; it was cut short while open`,
        );
      done += bytesRead;
    }
  }
}

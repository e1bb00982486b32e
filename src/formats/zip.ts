import yauzl from 'yauzl';
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { LxmertError } from '../errors.js';
import type { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

/** The source of a zip: a file or memory. */
export type ZipSource = Pick<RegularFile, 'path' | 'size' | 'read'>;

/** One file of a zip. */
export interface ZipEntry {
  readonly name: string;
  /** Unpacked size in bytes, from the directory. */
  readonly size: number;
  /** CRC-32 of the unpacked bytes. */
  readonly crc: number;
  readonly deflated: boolean;
  /** Position of the packed bytes in the zip. */
  readonly offset: number;
  readonly packedSize: number;
}

/** The largest compression ratio of deflate. */
const maxRatio = 1032;

const localHeaderBytes = 30;

/** Largest number of entries, which limits the work. */
const maxEntries = 100_000;

const inflate = promisify(inflateRaw);

/**
 * Reads the directory of a zip. Nothing is unpacked, and names of entries are never used as paths.
 * @throws BAD_DATA for a damaged directory, entries that do not fit into the file, or two entries of one name
 */
export async function readZipDirectory(file: ZipSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const raw = await centralDirectory(file);
  const entries = new Map<string, ZipEntry>();
  let packed = 0;
  for (const entry of raw) {
    const { fileName: name, compressedSize, uncompressedSize, relativeOffsetOfLocalHeader: at } = entry;
    const bad = (reason: string) => new LxmertError('BAD_DATA', `${file.path}: its entry ${shown(name)} ${reason}`);
    if (entries.has(name)) throw bad('occurs twice');
    if ((entry.generalPurposeBitFlag & 1) !== 0) throw bad('is encrypted');
    const method = entry.compressionMethod;
    if (method !== 0 && method !== 8)
      throw bad(`is packed by method ${method}; only stored and deflated entries can be read`);
    packed += localHeaderBytes + compressedSize;
    if (
      !Number.isSafeInteger(at + compressedSize) ||
      at + localHeaderBytes + compressedSize > file.size ||
      packed > file.size
    )
      throw bad(`claims ${compressedSize} bytes from ${at} on, but the file has only ${file.size}`);
    if (method === 0 ? compressedSize !== uncompressedSize : uncompressedSize > maxRatio * compressedSize)
      throw bad(`claims to have ${uncompressedSize} bytes, packed in ${compressedSize}`);
    const header = await file.read(at, localHeaderBytes);
    const view = new DataView(header.buffer);
    if (view.getUint32(0, true) !== 0x04034b50) throw bad(`does not begin at byte ${at}, where the directory says`);
    const offset = at + localHeaderBytes + view.getUint16(26, true) + view.getUint16(28, true);
    if (offset + compressedSize > file.size) throw bad(`ends after the end of the file`);
    entries.set(name, {
      name,
      size: uncompressedSize,
      crc: entry.crc32,
      deflated: method === 8,
      offset,
      packedSize: compressedSize,
    });
  }
  return entries;
}

/** Reads the directory through yauzl, which checks its fields. */
function centralDirectory(file: ZipSource): Promise<readonly yauzl.Entry[]> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(
        new LxmertError(
          'BAD_DATA',
          `${file.path}: it begins as a zip, but it is damaged or cut short: ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        ),
      );
    const reader = new ZipReader(file, fail);
    const options = { lazyEntries: true, autoClose: false, validateEntrySizes: false };
    yauzl.fromRandomAccessReader(reader, file.size, options, (error, zip) => {
      if (error) return fail(error);
      if (zip.entryCount > maxEntries)
        return fail(new Error(`it has ${zip.entryCount} entries; at most ${maxEntries} are read`));
      const entries: yauzl.Entry[] = [];
      zip.on('error', fail);
      zip.on('entry', (entry: yauzl.Entry) => {
        entries.push(entry);
        zip.readEntry();
      });
      zip.on('end', () => resolve(entries));
      zip.readEntry();
    });
  });
}

/**
 * Gives yauzl the bytes that it requests, within the file. For some wrong positions in a file yauzl throws from a
 * callback, where no caller could catch the error. This class catches it and reports it like any other failure.
 */
class ZipReader extends yauzl.RandomAccessReader {
  readonly #file: ZipSource;
  readonly #fail: (error: unknown) => void;

  constructor(file: ZipSource, fail: (error: unknown) => void) {
    super();
    this.#file = file;
    this.#fail = fail;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#file.read(position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        this.#tell(callback, null);
      },
      (error: unknown) => this.#tell(callback, error instanceof Error ? error : new Error(String(error))),
    );
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }

  #tell(callback: (error: Error | null) => void, error: Error | null): void {
    try {
      callback(error);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }
}

/**
 * Reads a whole entry into new memory.
 * @param checked whether to compare the CRC-32
 * @throws BAD_DATA if the entry does not unpack to the size in the directory
 */
export async function readZipEntry(
  file: ZipSource,
  entry: ZipEntry,
  checked: boolean,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = await file.read(entry.offset, entry.packedSize);
  if (entry.deflated) bytes = await unpack(file, entry, bytes);
  if (checked && crc32(bytes) !== entry.crc) throw crcError(file.path, entry.name);
  return bytes;
}

/** Reads an uncompressed entry in pieces, and compares its CRC-32 after the last piece. @throws BAD_DATA */
export async function* zipEntryPieces(
  file: RegularFile,
  entry: ZipEntry,
  checked: boolean,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let crc = 0;
  for await (const piece of file.pieces(entry.offset, entry.packedSize)) {
    if (checked) crc = crc32(piece, crc);
    yield piece;
  }
  if (checked && crc !== entry.crc) throw crcError(file.path, entry.name);
}

/** Compares the CRC-32 of an uncompressed entry. @throws BAD_DATA */
export async function checkZipEntry(file: RegularFile, entry: ZipEntry): Promise<void> {
  for await (const _ of zipEntryPieces(file, entry, true));
}

async function unpack(file: ZipSource, entry: ZipEntry, packed: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Buffer;
  try {
    // The limit is one byte more than the size in the directory. So a larger entry is detected, but never unpacked
    // completely.
    bytes = await inflate(packed, { maxOutputLength: entry.size + 1 });
  } catch (error) {
    throw new LxmertError('BAD_DATA', `${file.path}: its entry ${shown(entry.name)} does not unpack`, { cause: error });
  }
  if (bytes.byteLength !== entry.size)
    throw new LxmertError(
      'BAD_DATA',
      `${file.path}: its entry ${shown(entry.name)} does not unpack to ${entry.size} bytes`,
    );
  return Uint8Array.from(bytes);
}

function crcError(path: string, name: string): LxmertError {
  return new LxmertError(
    'BAD_DATA',
    `${path}: the checksum of its entry ${shown(name)} is wrong: the file is damaged. Fetch it again`,
  );
}

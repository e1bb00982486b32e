import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { crc32, createGunzip, createInflateRaw } from 'node:zlib';
import { LxmertError, isLxmertError } from '../errors.js';
import { readFailure } from '../formats/fileErrors.js';
import { RegularFile } from '../formats/regularFile.js';
import { shown } from '../formats/shown.js';
import { readZipDirectory } from '../formats/zip.js';
import type { ZipEntry } from '../formats/zip.js';

/** The text of a TSV, from a plain file or from an archive. It can be read from any byte on. */
export interface BytePart {
  /** The path of the file. For an archive, the name of the entry follows. */
  readonly path: string;
  /** Starts to read at byte `from` of the unpacked text. */
  readonly open: (from: number) => Promise<ByteReader>;
}

export interface ByteReader {
  /**
   * Fills `into` from its start. @returns the number of bytes read; 0 at the end. Rejects with BAD_DATA if the archive
   * is damaged.
   */
  read(into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

const CHUNK = 2 ** 20;

/** A plain file. It is read directly into the given memory. */
export const plainPart = (path: string): BytePart => ({
  path,
  open: async (from) => {
    const failed = (error: unknown): never => {
      throw readFailure(path, 'a feature TSV', error);
    };
    const file = await open(path).catch(failed);
    let position = from;
    return {
      read: async (into) => {
        const { bytesRead } = await file.read(into, 0, into.length, position).catch(failed);
        position += bytesRead;
        return bytesRead;
      },
      close: () => file.close(),
    };
  },
});

/** A file packed by gzip, of any number of members. */
export const gzipPart = (path: string, size: number): BytePart => ({
  path,
  open: async (from) => chunkReader(skipped(gunzipped(path, size), from)),
});

/** Reads from chunks. */
function chunkReader(chunks: AsyncGenerator<Uint8Array, void, undefined>): ByteReader {
  let rest: Uint8Array = new Uint8Array(0);
  return {
    read: async (into) => {
      while (rest.length === 0) {
        const next = await chunks.next();
        if (next.done === true) return 0;
        rest = next.value;
      }
      const some = rest.subarray(0, into.length);
      into.set(some);
      rest = rest.subarray(some.length);
      return some.length;
    },
    close: async () => {
      await chunks.return();
    },
  };
}

/** The TSVs in a zip, in the order of its directory. @throws BAD_DATA if there is none */
export async function zipParts(path: string): Promise<BytePart[]> {
  const file = await RegularFile.open(path);
  try {
    const entries = [...(await readZipDirectory(file)).values()];
    const tables = entries.filter(({ name }) => isTable(name));
    if (tables.length === 0) {
      const names = entries.map(({ name }) => shown(name));
      throw new LxmertError(
        'BAD_DATA',
        `${path}: is a zip without a TSV; it has ${names.slice(0, 3).join(', ') || 'nothing'}${names.length > 3 ? ', …' : ''}`,
      );
    }
    return tables.map((entry) => ({
      path: `${path}: ${shown(entry.name).slice(1, -1)}`,
      open: async (from) => chunkReader(skipped(unzipped(path, entry), from)),
    }));
  } finally {
    await file.close();
  }
}

/** Zips made by macOS have a second entry for each file, with attributes; its name ends in the same way. */
const isTable = (name: string): boolean => /\.tsv$/i.test(name) && !/(^|\/)__MACOSX\/|(^|\/)\._/.test(name);

async function* fileChunks(path: string, range: { start?: number; end?: number }): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK, ...range })) yield chunk as Buffer;
  } catch (error) {
    throw readFailure(path, 'a feature TSV', error);
  }
}

/** The chunks without the first `count` bytes. */
async function* skipped(chunks: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array, void, undefined> {
  let left = count;
  for await (const chunk of chunks) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** Sends chunks through a zlib stream. When the input or the output ends early, both are closed. */
async function* through(
  from: AsyncIterable<Uint8Array>,
  zlib: Transform,
  fail: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(from);
  // An error of the source or of zlib reaches the loop below. Bytes after the packed data are not read.
  pipeline(source, zlib).catch(() => undefined);
  try {
    for await (const chunk of zlib) yield chunk as Buffer;
  } catch (error) {
    throw fail(error);
  } finally {
    source.destroy();
    zlib.destroy();
  }
}

async function* gunzipped(path: string, size: number): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: CHUNK });
  yield* through(fileChunks(path, {}), gunzip, (error) =>
    isLxmertError(error)
      ? error
      : new LxmertError(
          'BAD_DATA',
          `${path}: does not unpack: ${(error as Error).message}; the file is damaged or cut off. Fetch it again`,
          { cause: error },
        ),
  );
  // zlib reports no error if the bytes after the packed data are not gzip.
  const rest = size - gunzip.bytesWritten;
  if (rest > 0)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: has ${rest} bytes behind the end of its gzip data. Fetch it again, or cut them off`,
    );
}

async function* unzipped(path: string, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  const { name, offset, packedSize, size, deflated } = entry;
  const bad = (reason: string, cause?: unknown) =>
    new LxmertError('BAD_DATA', `${path}: its entry ${shown(name)} ${reason}. Fetch the file again`, { cause });
  const packed =
    packedSize === 0 ? Readable.from([]) : fileChunks(path, { start: offset, end: offset + packedSize - 1 });
  const chunks = deflated
    ? through(packed, createInflateRaw({ chunkSize: CHUNK }), (error) =>
        isLxmertError(error) ? error : bad(`does not unpack: ${(error as Error).message}`, error),
      )
    : (packed as AsyncIterable<Uint8Array>);
  let crc = 0;
  let bytes = 0;
  for await (const chunk of chunks) {
    crc = crc32(chunk, crc);
    bytes += chunk.length;
    if (bytes > size) throw bad(`unpacks to more than the ${size} bytes that the directory says`);
    yield chunk;
  }
  if (bytes !== size) throw bad(`unpacks to ${bytes} bytes, the directory says ${size}`);
  if (crc !== entry.crc) throw bad('has a wrong checksum: the file is damaged');
}

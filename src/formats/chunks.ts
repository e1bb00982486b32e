import { open } from 'node:fs/promises';
import { readFailure } from './fileErrors.js';

const CHUNK = 4 * 2 ** 20;

/**
 * Reads a file and calls `onChunk` with one chunk of bytes at a time. A chunk is valid only during the call.
 * @param what the expected kind of file, for an error message
 * @throws FILE_MISSING, FILE_ACCESS, the signal's reason, or the errors of `onChunk`
 */
export async function readChunks(
  file: string,
  what: string,
  onChunk: (chunk: Buffer) => void,
  signal?: AbortSignal,
): Promise<void> {
  const handle = await open(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, CHUNK).catch((error: unknown) => {
        throw readFailure(file, what, error);
      });
      signal?.throwIfAborted();
      if (bytesRead === 0) return;
      onChunk(chunk.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** The first bytes of a file, at most a mebibyte. */
export async function readHead(file: string, what: string): Promise<Buffer> {
  const handle = await open(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2 ** 20), 0, 2 ** 20, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw readFailure(file, what, error);
  } finally {
    await handle.close();
  }
}

import { open } from 'node:fs/promises';
import { readFailure } from './fileErrors.js';

const CHUNK = 4 * 2 ** 20;

/**
 * Hands over a file's bytes, a chunk at a time; a chunk is valid during the call only.
 * @param what is expected there, for an error
 * @throws FILE_MISSING, FILE_ACCESS, or the signal's reason; what `onChunk` throws goes through
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

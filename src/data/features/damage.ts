import { LxmertError, isLxmertError } from '../../errors.js';

/**
 * Adds a text to an error about the record of one image. The text says what the user can do. Returns other errors
 * unchanged.
 */
export function withWayOut(error: unknown): unknown {
  if (!isLxmertError(error) || error.code !== 'BAD_DATA') return error;
  return new LxmertError(
    error.code,
    `${error.message}. To continue without this image, write its id into a file and give that file with --exclude FILE; with ` +
      '--resume the order of the other images does not change',
    { cause: error },
  );
}

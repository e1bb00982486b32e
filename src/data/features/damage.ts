import { LxmertError, isLxmertError } from '../../errors.js';

/** An error about the record of one image, with what to do about it; any other error as it is. */
export function withWayOut(error: unknown): unknown {
  if (!isLxmertError(error) || error.code !== 'BAD_DATA') return error;
  return new LxmertError(
    error.code,
    `${error.message}. To go on without this image, write its id into a file and give that with --exclude FILE; with ` +
      '--resume the order of all others stays',
    { cause: error },
  );
}

import { stat } from 'node:fs/promises';
import { LxmertError, isLxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';

const causes: Readonly<Record<string, { code: ErrorCode; reason: string }>> = {
  ENOENT: { code: 'FILE_MISSING', reason: 'there is no such file or folder' },
  ENOTDIR: { code: 'FILE_ACCESS', reason: 'a part of the path is a file, not a folder' },
  EEXIST: { code: 'FILE_ACCESS', reason: 'there is a file of this name already' },
  EISDIR: { code: 'FILE_ACCESS', reason: 'it is a folder, not a file' },
  EACCES: { code: 'FILE_ACCESS', reason: 'permission denied' },
  EPERM: { code: 'FILE_ACCESS', reason: 'operation not permitted' },
  EROFS: { code: 'FILE_ACCESS', reason: 'the file system is read-only' },
  ENOSPC: { code: 'FILE_ACCESS', reason: 'the disk is full; free some space' },
  EDQUOT: { code: 'FILE_ACCESS', reason: 'the disk quota is used up; free some space' },
  EFBIG: { code: 'FILE_ACCESS', reason: 'the file would be larger than the system allows' },
  EMFILE: { code: 'FILE_ACCESS', reason: 'too many files are open' },
  ENFILE: { code: 'FILE_ACCESS', reason: 'too many files are open' },
  ENAMETOOLONG: { code: 'FILE_ACCESS', reason: 'the name is too long' },
  ELOOP: { code: 'FILE_ACCESS', reason: 'its symbolic links form a loop' },
  EIO: { code: 'FILE_ACCESS', reason: 'the device reported an input/output error' },
};

/** Whether a file or folder of this name exists. */
export const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The `code` of a Node system error; undefined for other errors. */
export function systemCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Makes an error for the user from an error of the file system.
 * @param action the verb for the message, as in "cannot ACTION PATH"
 */
export function fileError(error: unknown, action: string, path: string): LxmertError {
  if (isLxmertError(error)) return error;
  const { code, reason } = causeOf(error);
  return new LxmertError(code, `cannot ${action} ${path}: ${reason}`, { cause: error });
}

/**
 * Makes an error for the user when one of the user's files could not be opened or read.
 * @param what the expected kind of file, such as "a feature TSV"
 */
export function readFailure(file: string, what: string, error: unknown): LxmertError {
  if (isLxmertError(error)) return error;
  const { code, reason } = causeOf(error);
  return new LxmertError(code, `${file}: ${reason}; expected ${what}`, { cause: error });
}

function causeOf(error: unknown): { code: ErrorCode; reason: string } {
  const system = systemCode(error);
  const known = system === undefined ? undefined : causes[system];
  if (known) return { code: known.code, reason: `${known.reason} (${system})` };
  return { code: 'FILE_ACCESS', reason: error instanceof Error ? error.message : String(error) };
}

import { LxmertError } from '../errors.js';

/** A value from a file, short enough for a message. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return `an object with ${Object.keys(value).length} keys`;
  // JSON has no NaN and no Infinity.
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The error for a file that could not be opened or read. */
export function readFailure(file: string, what: string, error: unknown): LxmertError {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new LxmertError('FILE_MISSING', `${file}: no such file or folder (${what})`, { cause: error });
  }
  if (code === 'EISDIR') {
    return new LxmertError('FILE_ACCESS', `${file}: is a folder, a file was expected (${what})`, { cause: error });
  }
  const reason =
    code === 'EACCES' || code === 'EPERM' ? 'may not be read' : `cannot be read (${String(code ?? error)})`;
  return new LxmertError('FILE_ACCESS', `${file}: ${reason} (${what})`, { cause: error });
}

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { LxmertError } from '../errors.js';
import { readFailure } from '../formats/fileErrors.js';

/** A file or folder that is imported. */
export interface InputFile {
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
  /** When it was changed, in milliseconds. */
  readonly modified: number;
  readonly isFolder: boolean;
}

/** @throws FILE_MISSING, FILE_ACCESS naming the path */
export async function inputFile(path: string): Promise<InputFile> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(path, 'image features', error);
  });
  if (!found.isFile() && !found.isDirectory())
    throw new LxmertError('FILE_ACCESS', `cannot read ${path}: it is no regular file, but a pipe or a device`);
  return {
    path,
    name: basename(path),
    bytes: found.size,
    modified: found.mtimeMs,
    isFolder: found.isDirectory(),
  };
}

/** Name, size and time of a file. If they are the same, the file is considered unchanged. */
export const identityOf = ({ name, bytes, modified }: InputFile): unknown => [name, bytes, modified];

/** The entry of a file in a manifest. */
export const sourceFile = ({ name, bytes }: InputFile): { name: string; bytes: number } => ({ name, bytes });

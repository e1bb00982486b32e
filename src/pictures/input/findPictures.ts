import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { fileError } from '../../formats/fileErrors.js';
import { shown } from '../../formats/shown.js';
import { pictureEndings, pictureId } from './decode.js';

/** A picture to make features of. */
export interface PictureFile {
  /** The file's name without its ending. */
  readonly id: string;
  readonly path: string;
}

/**
 * The pictures that paths name, in their order: files, and of folders all JPEG, PNG and WebP files in them and below, by
 * name.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_ARGUMENT for two pictures of one id, a name that the feature file cannot hold, or
 *   a folder without pictures
 */
export async function findPictures(paths: readonly string[]): Promise<readonly PictureFile[]> {
  const files: string[] = [];
  for (const path of paths) {
    if (!(await isFolder(path))) {
      files.push(path);
      continue;
    }
    const found = await picturesIn(path);
    if (found.length === 0)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${path}: the folder holds no pictures; expected ${pictureEndings.join(', ')}`,
      );
    files.push(...found);
  }
  const byId = new Map<string, string>();
  for (const path of files) {
    const id = pictureId(path);
    if (/[\p{Cc}]/u.test(id) || id !== id.trim() || id === '')
      throw new LxmertError(
        'BAD_ARGUMENT',
        `the picture ${shown(path)} has a name that a feature file cannot hold as an id; rename it`,
      );
    const other = byId.get(id);
    if (other !== undefined)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${other} and ${path} would both have the id ${shown(id)}: a picture's id is its file name without the ending. Rename one`,
      );
    byId.set(id, path);
  }
  return [...byId].map(([id, path]) => ({ id, path }));
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

async function picturesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, 'read', folder);
  });
  const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return names
    .filter((name) => pictureEndings.includes(extname(name).toLowerCase()))
    .sort(byName)
    .map((name) => join(folder, name));
}

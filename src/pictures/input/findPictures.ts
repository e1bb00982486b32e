import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { LxmertError } from '../../errors.js';
import { fileError, isThere } from '../../formats/fileErrors.js';
import { RegularFile } from '../../formats/regularFile.js';
import { shown } from '../../formats/shown.js';
import { readZipDirectory, readZipEntry } from '../../formats/zip.js';
import type { ZipEntry } from '../../formats/zip.js';
import { pictureEndings } from './decode.js';
import type { PictureSource } from './decode.js';

/** A picture from which features are made. */
export interface PictureFile extends PictureSource {
  /** The file's name without its ending. */
  readonly id: string;
}

/**
 * The pictures that the paths name, in the order of the paths. A path may be a file. A folder or a `.zip` gives all
 * JPEG, PNG and WebP files in it and in its subfolders, sorted by name. A glob such as `photos/*.jpg` gives the
 * pictures that it matches, sorted by name.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA for a damaged zip; BAD_ARGUMENT for two pictures with one id, a name that
 *   is not possible in a feature file, or a folder, zip or glob without pictures
 */
export async function findPictures(paths: readonly string[]): Promise<readonly PictureFile[]> {
  const found: (PictureSource & { readonly name: string })[] = [];
  for (const path of paths) for (const picture of await picturesOf(path)) found.push(picture);
  const byId = new Map<string, PictureFile>();
  for (const { name, ...source } of found) {
    const id = basename(name, extname(name));
    if (/[\p{Cc}]/u.test(id) || id !== id.trim() || id === '')
      throw new LxmertError(
        'BAD_ARGUMENT',
        `the picture ${shown(source.path)} has a name that a feature file cannot hold as an id; rename it`,
      );
    const other = byId.get(id);
    if (other !== undefined)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${other.path} and ${source.path} would both have the id ${shown(id)}: a picture's id is its file name without the ending. Rename one`,
      );
    byId.set(id, { id, ...source });
  }
  return [...byId.values()];
}

type NamedSource = PictureSource & { readonly name: string };

const fileSource = (path: string): NamedSource => ({ path, name: path });

async function picturesOf(path: string): Promise<NamedSource[]> {
  const demandSome = (pictures: NamedSource[], what: string): NamedSource[] => {
    if (pictures.length > 0) return pictures;
    throw new LxmertError('BAD_ARGUMENT', `${path}: ${what} no pictures; expected ${pictureEndings.join(', ')}`);
  };
  if (!(await isThere(path)) && isDynamicPattern(path)) {
    const matched = await glob(path, { expandDirectories: false }).catch((error: unknown) => {
      throw fileError(error, 'read', path);
    });
    return demandSome(matched.filter(isPicture).sort(byName).map(fileSource), 'the pattern matches');
  }
  if (await isFolder(path)) return demandSome(await picturesIn(path), 'the folder holds');
  if (extname(path).toLowerCase() === '.zip') return demandSome(await picturesInZip(path), 'the zip holds');
  return [fileSource(path)];
}

const isPicture = (name: string): boolean => pictureEndings.includes(extname(name).toLowerCase());
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

async function picturesIn(folder: string): Promise<NamedSource[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, 'read', folder);
  });
  return names
    .filter(isPicture)
    .sort(byName)
    .map((name) => fileSource(join(folder, name)));
}

async function picturesInZip(path: string): Promise<NamedSource[]> {
  const file = await RegularFile.open(path);
  try {
    const entries = [...(await readZipDirectory(file)).values()].filter(
      // A zip of macOS has a second file with metadata for each file. The name of this second file begins with
      // `__MACOSX/` or `._`.
      ({ name }) => isPicture(name) && !/(^|\/)(__MACOSX\/|\._)/.test(name),
    );
    return entries
      .sort((a, b) => byName(a.name, b.name))
      .map((entry) => ({ path: `${path}: ${entry.name}`, name: entry.name, read: () => readEntry(path, entry) }));
  } finally {
    await file.close();
  }
}

/** The largest size, in bytes, of an unpacked picture in a zip. */
const maxEntryBytes = 2 ** 30;

async function readEntry(path: string, entry: ZipEntry): Promise<Uint8Array> {
  if (entry.size > maxEntryBytes)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: its entry ${shown(entry.name)} has ${entry.size} bytes; no picture has`,
    );
  const file = await RegularFile.open(path);
  try {
    return await readZipEntry(file, entry, true);
  } finally {
    await file.close();
  }
}

import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { readFailure } from '../formats/fileErrors.js';
import { readNpy } from '../formats/npy.js';
import type { PickleValue } from '../formats/pickle.js';
import { RegularFile } from '../formats/regularFile.js';
import { readZipDirectory, readZipEntry } from '../formats/zip.js';
import type { FormName, FormOptions, OpenedForm } from './forms.js';
import type { InputFile } from './inputFile.js';
import { infoOf, readNpz } from './npz.js';
import { checkedItems } from './records.js';
import type { PendingRecord } from './records.js';
import { recordOfRow } from './rowFields.js';
import type { NamedRecord } from './rowFields.js';

/** Files by name: the files of a folder, or the files in a zip. */
export interface NamedFiles {
  readonly path: string;
  /** Sorted names, with their folders, and sizes. A name in a zip always means a file in that zip. */
  readonly sizes: ReadonlyMap<string, number>;
  read(name: string): Promise<Uint8Array>;
  placeOf(name: string): string;
  close(): Promise<void>;
}

/** The files of a folder and of all folders in it. */
export async function folderFiles(path: string): Promise<NamedFiles> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch((error: unknown) => {
    throw readFailure(path, 'a folder of feature files', error);
  });
  const names = entries
    // A link is not followed, because it may point outside of the folder.
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(path, '/').length));
  return {
    path,
    sizes: new Map(names.sort(byName).map((name) => [name, 0])),
    read: async (name) =>
      readFile(join(path, name)).catch((error: unknown) => {
        throw readFailure(join(path, name), 'features of an image', error);
      }),
    placeOf: (name) => join(path, name),
    close: async () => undefined,
  };
}

/** A single file, in the same shape as a folder. */
export const oneFile = ({ path, bytes }: InputFile): NamedFiles => ({
  path,
  sizes: new Map([[basename(path), bytes]]),
  read: () => readFile(path),
  placeOf: () => path,
  close: async () => undefined,
});

export async function zipFiles(path: string): Promise<NamedFiles> {
  const file = await RegularFile.open(path);
  const directory = await readZipDirectory(file).catch(async (error: unknown) => {
    await file.close();
    throw error;
  });
  const names = [...directory.keys()].filter((name) => !name.endsWith('/') && !/(^|\/)(__MACOSX\/|\._)/.test(name));
  return {
    path,
    sizes: new Map(names.sort(byName).map((name) => [name, directory.get(name)!.size])),
    read: (name) => readZipEntry(file, directory.get(name)!, true),
    placeOf: (name) => `${path}: ${name}`,
    close: () => file.close(),
  };
}

const byName = (a: string, b: string): number => (a < b ? -1 : 1);

/** Whether the files are npz, or npy with info; undefined if they are neither. */
export function numpyForm(files: NamedFiles): 'npz' | 'npy' | undefined {
  const names = [...files.sizes.keys()];
  if (names.some((name) => name.endsWith('.npz'))) return 'npz';
  return names.some((name) => name.endsWith('.npy')) ? 'npy' : undefined;
}

const idOf = (name: string): string => basename(name).replace(/\.np[yz]$/, '');

/** Each file is one image. */
export function openNumpyForm(
  files: NamedFiles,
  form: 'npz' | 'npy',
  source: { readonly bytes: number; readonly identity: unknown },
  options: FormOptions,
): OpenedForm {
  const ending = `.${form}`;
  const names = [...files.sizes.keys()].filter((name) => name.endsWith(ending) && !name.endsWith('_info.npy'));
  const read = form === 'npz' ? readNpzRecord : readNpyRecord;
  const pending = function* (): Generator<PendingRecord> {
    for (const name of names) yield { place: files.placeOf(name), image: idOf(name), read: () => read(files, name) };
  };
  return {
    form: form satisfies FormName,
    source: { form, files: [{ name: basename(files.path), bytes: source.bytes }] },
    identity: [source.identity, names.length],
    unit: 'record',
    images: names.length,
    items: (from) => checkedItems(pending(), from?.records ?? 0, options),
    close: () => files.close(),
  };
}

async function readNpzRecord(files: NamedFiles, name: string): Promise<NamedRecord> {
  const place = files.placeOf(name);
  return recordOfRow(await readNpz(await files.read(name), place), { id: idOf(name), place, idIsKey: true });
}

/** One file has the features; the other, `_info.npy`, has the rest. */
async function readNpyRecord(files: NamedFiles, name: string): Promise<NamedRecord> {
  const place = files.placeOf(name);
  const features = readNpy(await files.read(name), place);
  const infoName = name.replace(/\.npy$/, '_info.npy');
  if (!files.sizes.has(infoName))
    throw new LxmertError('BAD_DATA', `${files.placeOf(infoName)}: is missing; it has the boxes of ${name}`);
  const infoPlace = files.placeOf(infoName);
  const info = infoOf(readNpy(await files.read(infoName), infoPlace), infoPlace);
  const row = new Map<string, PickleValue>([...info, ['features', features]]);
  return recordOfRow(row, { id: idOf(name), place, idIsKey: true, counted: false });
}

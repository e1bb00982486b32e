import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { isThere } from '../formats/fileErrors.js';
import { gqaInfo, openGqaForm, openGroupsForm } from './hdf5Forms.js';
import type { FormName, FormOptions, OpenedForm } from './forms.js';
import { identityOf, inputFile } from './inputFile.js';
import type { InputFile } from './inputFile.js';
import { openLmdbForm } from './lmdbForms.js';
import { folderFiles, numpyForm, oneFile, openNumpyForm, zipFiles } from './npyForms.js';
import type { NamedFiles } from './npyForms.js';
import { openTsvForm } from './tsvForm.js';
import { openVinvlForm } from './vinvlForm.js';

/**
 * Recognises the form of an input and opens it. If the form is given, the contents are not examined. @throws BAD_DATA
 * if the input has no known form
 */
export async function openForm(path: string, format: FormName | undefined, options: FormOptions): Promise<OpenedForm> {
  const file = await inputFile(path);
  if (format !== undefined) return openAs(file, format, options);
  if (file.isFolder) return openFolder(file, options);
  const head = await headOf(path);
  if (isLmdb(head) || /\.(lmdb|mdb)$/.test(path)) return openLmdbForm(path, undefined, options);
  if (head.toString('latin1', 0, 2) === 'PK') return openZip(file, options);
  if (path.endsWith(gqaInfo)) return openGqaForm(file, options);
  if (isHdf5(head) || /\.(h5|hdf5)$/.test(path)) return openGroupsForm(file, options);
  if (/\.npz$/.test(path)) return openNumpy(oneFile(file), 'npz', file, options);
  if (isVinvl(head)) return openVinvlForm(file, options);
  return openTsvForm(file, options);
}

const openers: Readonly<
  Record<FormName, (file: InputFile, format: FormName, options: FormOptions) => Promise<OpenedForm>>
> = {
  tsv: (file, _, options) => openTsvForm(file, options),
  'volta-lmdb': (file, format, options) => openLmdbForm(file.path, format, options),
  'tensorpack-lmdb': (file, format, options) => openLmdbForm(file.path, format, options),
  'uniter-lmdb': (file, format, options) => openLmdbForm(file.path, format, options),
  'mmf-lmdb': (file, format, options) => openLmdbForm(file.path, format, options),
  'vinvl-tsv': (file, _, options) => openVinvlForm(file, options),
  'vlt5-h5': (file, _, options) => openGroupsForm(file, options),
  'gqa-h5': (file, _, options) => openGqaForm(file, options),
  npz: async (file, _, options) => openNumpy(await filesOf(file), 'npz', file, options),
  npy: async (file, _, options) => openNumpy(await filesOf(file), 'npy', file, options),
};

const openAs = (file: InputFile, format: FormName, options: FormOptions): Promise<OpenedForm> =>
  openers[format](file, format, options);

async function filesOf(file: InputFile): Promise<NamedFiles> {
  if (file.isFolder) return folderFiles(file.path);
  return /\.zip$/.test(file.path) ? zipFiles(file.path) : oneFile(file);
}

async function openNumpy(
  files: NamedFiles,
  form: 'npz' | 'npy',
  file: InputFile,
  options: FormOptions,
): Promise<OpenedForm> {
  return openNumpyForm(files, form, { bytes: file.bytes, identity: identityOf(file) }, options);
}

async function openFolder(file: InputFile, options: FormOptions): Promise<OpenedForm> {
  const { path } = file;
  if (await isThere(join(path, gqaInfo))) return openGqaForm(file, options);
  if (await isThere(join(path, 'data.mdb'))) return openLmdbForm(path, undefined, options);
  const files = await folderFiles(path);
  const form = numpyForm(files);
  if (form) return openNumpy(files, form, file, options);
  throw new LxmertError(
    'BAD_DATA',
    `${path}: no features of a form that is read here were found in this folder; name the file itself, or say --format`,
  );
}

/** A zip may be an npz, contain npz or npy files, or contain a TSV. */
async function openZip(file: InputFile, options: FormOptions): Promise<OpenedForm> {
  if (/\.npz$/.test(file.path)) return openNumpy(oneFile(file), 'npz', file, options);
  const files = await zipFiles(file.path);
  const names = [...files.sizes.keys()];
  const form = numpyForm(files);
  if (form && !names.some((name) => /\.tsv$/i.test(name))) return openNumpy(files, form, file, options);
  await files.close();
  return openTsvForm(file, options);
}

/** The first bytes of a file. */
async function headOf(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const isLmdb = (head: Buffer): boolean => head.length >= 20 && head.readUInt32LE(16) === 0xbeefc0de;

const isHdf5 = (head: Buffer): boolean => head.toString('latin1', 0, 8) === '\x89HDF\r\n\x1a\n';

/** Id and number of boxes, or id and JSON; the original's second column is the picture's height and its fourth is base64. */
function isVinvl(head: Buffer): boolean {
  const columns = head.toString('latin1').split('\n')[0].split('\t');
  if (columns.length === 2) return /^\s*\{"/.test(columns[1]);
  return columns.length === 3 && /^\s*\d+\s*$/.test(columns[1]) && columns[2].length > 64;
}

import { mkdir, open, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, systemCode } from './fileErrors.js';

/**
 * Names that begin with this are unfinished work of a process that may have died; whoever owns the folder may remove
 * them when no such process runs.
 */
export const temporaryPrefix = '.tmp-';

let serial = 0;

/** A name beside `path` that no other process and no other call uses. */
export function temporaryBeside(path: string): string {
  serial += 1;
  return join(dirname(path), `${temporaryPrefix}${basename(path)}-${process.pid}-${serial}`);
}

/**
 * Makes a folder and those above it; one that is there is fine. (Node's own recursive `mkdir` turns without end where the
 * system says ENOENT although the parent is there, as below /proc.)
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path);
  }
}

/** Writes all of `data` at `position`; `write` alone may write less. */
export async function writeFully(file: FileHandle, data: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < data.byteLength) {
    const { bytesWritten } = await file.write(data, done, data.byteLength - done, position + done);
    done += bytesWritten;
  }
}

/** Makes the names in a folder durable. Some file systems cannot sync a folder; those keep no promise anyway. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await folder.close();
  }
}

/**
 * Replaces a file by new contents: at any instant, and after a power cut, `path` holds the old or the new ones, whole.
 * @throws FILE_ACCESS, FILE_MISSING naming the path; the old file is then as it was
 */
export async function writeFileAtomic(path: string, contents: string | Uint8Array): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await writeFileDurable(temporary, contents);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write', path);
  }
}

/** Writes a new file (an error when it exists) and syncs its contents, not its name. */
export async function writeFileDurable(path: string, contents: string | Uint8Array): Promise<void> {
  const bytes = typeof contents === 'string' ? Buffer.from(contents, 'utf8') : contents;
  const file = await open(path, 'wx');
  try {
    await writeFully(file, bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes a folder all at once: `fill` writes its files (each synced by itself) into another folder, which then gets the
 * name `path`. An existing folder of that name is replaced: there is an instant without either, never one with half.
 * @throws what `fill` throws, or FILE_ACCESS; nothing is left behind then
 */
export async function writeFolderAtomic(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    await removeFolderAtomic(path);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw fileError(error, 'write', path);
  }
}

/** Removes a folder, if there is one: at any instant it is there whole or not at all. */
export async function removeFolderAtomic(path: string): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await rename(path, temporary);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw fileError(error, 'remove', path);
  }
  await rm(temporary, { recursive: true, force: true });
}

/** Points the symbolic link `path` at `target`; at any instant it points at the old or the new target. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await symlink(target, temporary);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write the link', path);
  }
}

/** Removes the unfinished work of dead processes from a folder. Only for the one that holds the folder's lock. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(temporaryPrefix)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

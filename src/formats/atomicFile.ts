import { mkdir, open, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, systemCode } from './fileErrors.js';

/**
 * Names that begin with this are files that a process has not finished. A process that has locked the folder may remove
 * them.
 */
export const temporaryPrefix = '.tmp-';

let serial = 0;

/** A new name in the folder of `path`, which no other process and no other call uses. */
export function temporaryBeside(path: string): string {
  serial += 1;
  return join(dirname(path), `${temporaryPrefix}${basename(path)}-${process.pid}-${serial}`);
}

/**
 * Makes a folder and the folders above it, if they do not exist. (Node's recursive `mkdir` never ends if the system
 * reports ENOENT although the parent exists, as in /proc.)
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

/** Writes all of `data` at `position`. One call of `write` may write less. */
export async function writeFully(file: FileHandle, data: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < data.byteLength) {
    const { bytesWritten } = await file.write(data, done, data.byteLength - done, position + done);
    done += bytesWritten;
  }
}

/** Syncs the names in a folder to the disk. Does nothing on file systems that cannot sync a folder. */
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
 * Replaces the contents of a file. At any instant, and also after a power failure, `path` has either the complete old
 * contents or the complete new contents.
 * @throws FILE_ACCESS, FILE_MISSING naming the path; the old file then does not change
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

/** Writes a new file and syncs its contents, but not its name. It is an error if the file exists. */
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
 * Makes a folder in one operation: `fill` writes its files (and syncs each) into another folder, which is then renamed to
 * `path`. An existing folder of that name is removed just before; the folder is never incomplete.
 * @throws the errors of `fill`, or FILE_ACCESS; the other folder is then removed
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

/** Removes a folder, if it exists. At any instant it is either complete or does not exist. */
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

/** Makes the symbolic link `path` point to `target`. At any instant it points to the old or the new target. */
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

/** Removes unfinished files of killed processes from a folder. Only the process that has locked the folder may call it. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(temporaryPrefix)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

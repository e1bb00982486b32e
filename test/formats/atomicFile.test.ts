import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  removeTemporaries,
  replaceLink,
  temporaryBeside,
  writeFileAtomic,
  writeFileDurable,
  writeFolderAtomic,
} from '../../src/formats/atomicFile.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atomic-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('a file is replaced as a whole, and no temporary file remains', async () => {
  const path = join(folder, 'a.json');
  await writeFileAtomic(path, 'one');
  await writeFileAtomic(path, 'twö');
  expect(await readFile(path, 'utf8')).toBe('twö');
  expect(await readdir(folder)).toEqual(['a.json']);
  await expect(writeFileAtomic(join(folder, 'no', 'b'), '')).rejects.toMatchObject({
    code: 'FILE_MISSING',
    message: expect.stringContaining(join(folder, 'no', 'b')),
  });
});

test('a folder appears when it is complete, and never if filling it fails', async () => {
  const parent = join(folder, 'parent');
  await mkdir(parent);
  const path = join(parent, 'step');
  await writeFolderAtomic(path, (inside) => writeFileDurable(join(inside, 'x'), '1'));
  await expect(
    writeFolderAtomic(path, async (inside) => {
      await writeFileDurable(join(inside, 'x'), '2');
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    }),
  ).rejects.toMatchObject({ code: 'FILE_ACCESS', message: expect.stringMatching(/step: the disk is full/) });
  expect(await readdir(parent)).toEqual(['step']);
  expect(await readFile(join(path, 'x'), 'utf8')).toBe('1');
  await writeFolderAtomic(path, (inside) => writeFileDurable(join(inside, 'y'), '3'));
  expect(await readdir(path)).toEqual(['y']);
});

test('a link is replaced, and temporary files of ended processes are removed', async () => {
  const parent = join(folder, 'links');
  await mkdir(parent);
  const link = join(parent, 'last');
  await replaceLink(link, 'step-1');
  await replaceLink(link, 'step-2');
  expect(await readlink(link)).toBe('step-2');
  await mkdir(temporaryBeside(join(parent, 'step-3')));
  await writeFile(temporaryBeside(join(parent, 'f')), '');
  await removeTemporaries(parent);
  expect(await readdir(parent)).toEqual(['last']);
});

import { open } from 'node:fs/promises';
import type { FormOptions, OpenedForm } from './forms.js';
import { gzipPart, plainPart, zipParts } from './byteParts.js';
import type { BytePart } from './byteParts.js';
import { identityOf, sourceFile } from './inputFile.js';
import type { InputFile } from './inputFile.js';
import { tsvItems } from './tsvSource.js';

/** Opens the original's TSV, plain or packed. */
export async function openTsvForm(file: InputFile, options: FormOptions): Promise<OpenedForm> {
  const parts = await partsOf(file);
  const packed = parts.some(({ path }) => path !== file.path) || (await magicOf(file.path)) === 'gzip';
  if (packed && parts[0].path === file.path && !/\.gz$/.test(file.path))
    options.onNote(`${file.path}: is packed by gzip, whatever its name says; it is unpacked while it is read`);
  return {
    form: 'tsv',
    source: { form: 'tsv', files: [sourceFile(file)] },
    identity: identityOf(file),
    unit: 'line',
    bytes: packed ? undefined : file.bytes,
    items: (from) => tsvItems(parts, from, options),
  };
}

async function partsOf({ path, bytes }: InputFile): Promise<BytePart[]> {
  const kind = await magicOf(path);
  if (kind === 'zip') return zipParts(path);
  return [kind === 'gzip' ? gzipPart(path, bytes) : plainPart(path)];
}

/** Recognises from the first bytes of a file how it is packed. */
export async function magicOf(path: string): Promise<'gzip' | 'zip' | undefined> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (bytesRead >= 2 && buffer.readUInt16BE(0) === 0x1f8b) return 'gzip';
    if (bytesRead >= 4 && [0x504b0304, 0x504b0506].includes(buffer.readUInt32BE(0))) return 'zip';
    return undefined;
  } finally {
    await file.close();
  }
}

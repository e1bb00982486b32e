import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, gunzipSync } from 'node:zlib';
import { importFeatures } from '../../src/imports/index.js';
import type { ImportOptions } from '../../src/imports/index.js';

export const forms = fileURLToPath(new URL('../fixtures/data-forms/', import.meta.url));

/** Makes folders for a test. The returned function removes them. */
export function temporaryFolder(): { readonly path: (name: string) => string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'lxmert-features-'));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The path of a fixture. If the fixture is stored packed (as `NAME.gz`), it is first unpacked into a folder. */
export function fixture(name: string, folder: (name: string) => string): string {
  const path = join(forms, name);
  if (existsSync(path)) return path;
  const unpacked = folder(join('unpacked', name));
  mkdirSync(dirname(unpacked), { recursive: true });
  writeFileSync(unpacked, gunzipSync(readFileSync(`${path}.gz`)));
  return unpacked;
}

/** Imports in this thread, because jest cannot start the compiled program of other threads. */
export const importInThread = (from: string | readonly string[], out: string, options: ImportOptions = {}) =>
  importFeatures(typeof from === 'string' ? [from] : from, out, { workers: 0, ...options });

/** Invented lines of a feature TSV in the original's form. */
export function madeUpTsv(images: number, { dim = 8, objects = (image: number) => 3 + (image % 5) } = {}): string {
  return Array.from({ length: images }, (_, image) => {
    const count = objects(image);
    const floats = (n: number, valueAt: (i: number) => number) =>
      Buffer.from(Float32Array.from({ length: n }, (_, i) => valueAt(i)).buffer).toString('base64');
    const ids = (n: number, most: number) =>
      Buffer.from(BigInt64Array.from({ length: n }, (_, i) => BigInt((image * 31 + i * 7) % most)).buffer).toString(
        'base64',
      );
    return [
      ...[`image_${image}`, '480', '640'],
      ...[ids(count, 1600), floats(count, (i) => ((image + i) % 10) / 10)],
      ...[ids(count, 400), floats(count, (i) => ((image * 3 + i) % 10) / 10)],
      String(count),
      floats(4 * count, (i) => [i * 2, i, 300 + i, 200 + i][i % 4]),
      floats(count * dim, (i) => ((image * 131 + i * 17) % 1000) / 250),
    ].join('\t');
  })
    .map((line) => `${line}\n`)
    .join('');
}

/** A zip of some files, which are stored without compression. */
export function storedZip(files: readonly (readonly [string, Uint8Array])[]): Buffer {
  const bodies: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const [name, bytes] of files) {
    // Version, flags, method, time, date, CRC, packed size, size, lengths of the name and of the extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    const body = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), bytes]);
    entries.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, Buffer.from(name)]));
    bodies.push(body);
    at += body.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...bodies, directory, end]);
}

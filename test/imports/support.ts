import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importFeatures } from '../../src/imports/index.js';
import type { ImportOptions } from '../../src/imports/index.js';

export const forms = fileURLToPath(new URL('../fixtures/data-forms/', import.meta.url));

/** Folders of a test, removed by the returned function. */
export function temporaryFolder(): { readonly path: (name: string) => string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'lxmert-features-'));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Imports in this thread: jest cannot start the compiled program of others. */
export const importInThread = (from: string | readonly string[], out: string, options: ImportOptions = {}) =>
  importFeatures(typeof from === 'string' ? [from] : from, out, { workers: 0, ...options });

/** Lines of a feature TSV of the original's form, made up. */
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

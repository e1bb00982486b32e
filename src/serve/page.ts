import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ShownFile } from './storedPictures.js';

const asset = (name: string): Promise<Buffer> =>
  readFile(fileURLToPath(new URL(`../../assets/${name}`, import.meta.url)));

const html = 'text/html; charset=utf-8';
const css = 'text/css; charset=utf-8';
const script = 'text/javascript; charset=utf-8';

/** The files of the page: the path of the address, the file, and its type. */
const files = [
  ['/', 'serve/serve.html', html],
  ['/serve.js', 'serve/serve.js', script],
  ['/explanation.js', 'serve/explanation.js', script],
  ['/dom.js', 'serve/dom.js', script],
  ['/page.css', 'shared/page.css', css],
  ['/serve.css', 'serve/serve.css', css],
] as const;

/** The files of the page, by the path of their address. */
export async function pageFiles(): Promise<ReadonlyMap<string, ShownFile>> {
  return new Map(
    await Promise.all(files.map(async ([path, file, type]) => [path, { type, bytes: await asset(file) }] as const)),
  );
}

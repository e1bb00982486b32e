import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ShownFile } from './storedPictures.js';

const asset = (name: string): Promise<Buffer> =>
  readFile(fileURLToPath(new URL(`../../assets/${name}`, import.meta.url)));

/** The files of the page, by the path of their address. */
export async function pageFiles(): Promise<ReadonlyMap<string, ShownFile>> {
  const [html, script, common, own] = await Promise.all(
    ['serve/serve.html', 'serve/serve.js', 'shared/page.css', 'serve/serve.css'].map(asset),
  );
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', bytes: html }],
    ['/serve.js', { type: 'text/javascript; charset=utf-8', bytes: script }],
    ['/page.css', { type: 'text/css; charset=utf-8', bytes: common }],
    ['/serve.css', { type: 'text/css; charset=utf-8', bytes: own }],
  ]);
}

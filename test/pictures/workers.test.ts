import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { verifyStore } from '../../src/data/store/index.js';
import { readStoreManifest } from '../../src/data/store/storeForm.js';
import { importDetector } from '../../src/pictures/import/importDetector.js';
import { CompiledCopy } from '../train/support/compile.js';
import { drawPictures } from './support.js';

/** Tests `lxmert features extract` as a process, with threads. */
let compiled: CompiledCopy;
let folder: string;
let pictures: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  compiled = await CompiledCopy.make();
  folder = mkdtempSync(join(tmpdir(), 'lxmert-workers-'));
  const fixtures = fileURLToPath(new URL('../fixtures/detector/', import.meta.url));
  await importDetector(join(fixtures, 'frcnn'), at('d.onnx'), { recipe: 'transformers', minSize: 120 });
  pictures = at('pictures');
  mkdirSync(pictures);
  const drawn = await drawPictures(folder);
  copyFileSync(drawn.landscape, join(pictures, 'a.png'));
  for (const [name, width] of [
    ['b', 150],
    ['c', 170],
    ['d', 190],
  ] as const)
    await sharp(drawn.portrait)
      .resize(width)
      .png()
      .toFile(join(pictures, `${name}.png`));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await compiled.remove();
});

function start(out: string, ...flags: string[]) {
  const args = ['features', 'extract', pictures, '--detector', at('d.onnx'), '--out', out, '--threads', '1', ...flags];
  return spawn(process.execPath, [join(compiled.folder, 'src/cli/main.js'), ...args], { stdio: 'pipe' });
}

async function finished(child: ReturnType<typeof start>): Promise<string> {
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  expect([code, text]).toEqual([0, text]);
  return text;
}

const filesOf = (store: string) =>
  readdirSync(store)
    .sort()
    .map((name) => [name, readFileSync(join(store, name)).toString('base64')]);

test('one and two workers, and a run that was killed, make the same store', async () => {
  const [one, two, killed] = [at('one.store'), at('two.store'), at('killed.store')];
  expect(await finished(start(one))).toContain('4 pictures');
  await finished(start(two, '--workers', '2'));
  expect(filesOf(two)).toEqual(filesOf(one));
  expect((await verifyStore(one)).faults).toEqual([]);
  expect(await readStoreManifest(join(one, 'manifest.json'))).toMatchObject({
    ...{ images: 4, objects: 144, featureDim: 128, dtype: 'float16', objectLabels: 20, attributeLabels: 12 },
    sources: [{ form: 'pictures', files: [{ name: 'd.onnx' }] }],
  });

  // The process is killed as soon as one picture is written.
  const child = start(killed);
  const ended = once(child, 'close');
  while (!existsSync(`${killed}.part`) || readFileSync(`${killed}.part`).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGKILL');
  await ended;
  expect(existsSync(killed)).toBe(false);
  expect(await finished(start(killed))).toContain('of them from before');
  expect(filesOf(killed)).toEqual(filesOf(one));
  expect(readdirSync(folder).filter((name) => name.includes('.part') || name.includes('importing'))).toEqual([]);
});

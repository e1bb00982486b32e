/** @jest-environment ./test/support/onnxEnvironment.mjs */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { storeInfo } from '../../src/data/store/index.js';
import { openFeatureTsv } from '../../src/data/features/featureTsv.js';
import { decodePicture } from '../../src/pictures/input/decode.js';
import { extractFeatures as extract } from '../../src/pictures/extract/extract.js';
import type { ExtractOptions } from '../../src/pictures/extract/extract.js';
import { importDetector } from '../../src/pictures/import/importDetector.js';
import { drawPictures, storedZip } from './support.js';

const fixtures = fileURLToPath(new URL('../fixtures/detector/', import.meta.url));

/** Jest cannot start the compiled program of a thread. */
const extractFeatures = (pictures: readonly string[], out: string, options: ExtractOptions) =>
  extract(pictures, out, { workers: 0, ...options });

let folder: string;
let detector: string;
let pictures: string;
let drawn: Awaited<ReturnType<typeof drawPictures>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-extract-'));
  detector = join(folder, 'detector.onnx');
  await importDetector(join(fixtures, 'frcnn'), detector, { recipe: 'transformers', minSize: 200 });
  pictures = join(folder, 'pictures');
  mkdirSync(join(pictures, 'below'), { recursive: true });
  drawn = await drawPictures(folder);
  copyFileSync(drawn.landscape, join(pictures, 'below/a.png'));
  copyFileSync(drawn.portrait, join(pictures, 'b.PNG'));
  await sharp(drawn.portrait).resize(300).webp().toFile(join(pictures, 'c.webp'));
  writeFileSync(join(pictures, 'notes.txt'), 'no picture');
});
afterAll(() => rmSync(folder, { recursive: true }));

test('a folder of pictures becomes a feature file that training reads; a run that was cut gives the same bytes', async () => {
  const whole = join(folder, 'whole.tsv');
  const report = await extractFeatures([pictures], whole, { detector });
  expect(report).toMatchObject({ pictures: 3, continued: 0, skipped: [] });
  const source = await openFeatureTsv(whole, { objectLabels: 20, attributeLabels: 12 });
  expect(source.imageIds).toEqual(['b', 'a', 'c']);
  await source.reader.close();
  await expect(extractFeatures([pictures], whole, { detector })).rejects.toThrow('is there already');

  // The file is the same as after a process that was killed while it wrote the second line.
  const again = join(folder, 'again.tsv');
  const bytes = readFileSync(whole);
  const first = bytes.indexOf('\n') + 1;
  const unfinished = extractFeatures([join(pictures, 'b.PNG'), join(folder, 'bad.png')], again, { detector });
  writeFileSync(join(folder, 'bad.png'), 'text');
  await expect(unfinished).rejects.toThrow();
  writeFileSync(`${again}.part`, bytes);
  truncateSync(`${again}.part`, first + 1000);
  const other = join(folder, 'other.onnx');
  await importDetector(join(fixtures, 'frcnn'), other, { recipe: 'transformers', minSize: 210 });
  await expect(extractFeatures([pictures], again, { detector: other })).rejects.toThrow(
    'was begun with another detector',
  );
  expect(await extractFeatures([pictures], again, { detector })).toMatchObject({ pictures: 3, continued: 1 });
  expect(readFileSync(again).equals(bytes)).toBe(true);
  expect(existsSync(`${again}.part.detector`)).toBe(false);
});

test('zips and globs name pictures, too; a store is made where the name is none of a TSV', async () => {
  const zip = join(folder, 'some.zip');
  const bytes = (name: string) => readFileSync(join(pictures, name));
  writeFileSync(
    zip,
    storedZip({ 'x/b.PNG': bytes('b.PNG'), '__MACOSX/x/._b.PNG': Buffer.of(1), 'a.png': bytes('below/a.png') }),
  );
  const fromZip = join(folder, 'zip.tsv');
  expect(await extractFeatures([zip, join(pictures, '*.webp')], fromZip, { detector })).toMatchObject({ pictures: 3 });
  const fromFolder = join(folder, 'folder.tsv');
  const again = ['below/a.png', 'b.PNG', 'c.webp'].map((name) => join(pictures, name));
  await extractFeatures(again, fromFolder, { detector });
  expect(readFileSync(fromZip).equals(readFileSync(fromFolder))).toBe(true);

  const store = join(folder, 'photos.store');
  const bad = join(folder, 'b.txt.png');
  writeFileSync(bad, 'text');
  await extractFeatures([...again, bad], store, { detector, dtype: 'float32', skipBad: true });
  const found = await storeInfo(store, 'c');
  expect(found.manifest).toMatchObject({ images: 3, dtype: 'float32', skipped: [{ place: bad }] });
  const tsv = await openFeatureTsv(fromZip, { objectLabels: 20, attributeLabels: 12 });
  expect([tsv.imageIds, found.image?.objects.length]).toEqual([['a', 'b', 'c'], 36]);
  await tsv.reader.close();
});

test('the number of objects can be left to their scores', async () => {
  const picture = join(pictures, 'below/a.png');
  const counts = async (name: string, options: Partial<ExtractOptions>) => {
    const store = join(folder, name);
    await extractFeatures([picture], store, { detector, ...options });
    return (await storeInfo(store)).manifest.objects;
  };
  expect(await counts('min.store', { minObjects: 5, maxObjects: 60, threshold: 1 })).toBe(5);
  const all = await counts('max.store', { minObjects: 5, maxObjects: 60, threshold: 0 });
  expect(all).toBeGreaterThan(10);
  expect(await counts('most.store', { minObjects: 5, maxObjects: 10, threshold: 0 })).toBe(10);
  await expect(counts('none.store', { minObjects: 9, maxObjects: 8 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  await expect(counts('none.store', { minObjects: 301 })).rejects.toThrow('the detector has 300 proposals');
});

test('bad pictures are named, and left out on request', async () => {
  const text = join(folder, 'text.jpg');
  writeFileSync(text, 'no picture');
  const cut = join(folder, 'cut.jpg');
  const jpeg = await sharp(drawn.landscape).jpeg().toBuffer();
  writeFileSync(cut, jpeg.subarray(0, jpeg.length / 2));
  const thin = join(folder, 'thin.png');
  await sharp({ create: { width: 1, height: 3000, channels: 3, background: 'red' } })
    .png()
    .toFile(thin);
  const plain = join(folder, 'plain.png');
  await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .png()
    .toFile(plain);
  for (const path of [text, cut, thin])
    await expect(extractFeatures([path], join(folder, 'bad.tsv'), { detector })).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining(path) as unknown,
    });
  const out = join(folder, 'skipped.tsv');
  const report = await extractFeatures([text, cut, join(pictures, 'b.PNG'), thin], out, { detector, skipBad: true });
  expect(report.pictures).toBe(1);
  expect(report.skipped.map(({ path }) => path)).toEqual([text, cut, thin]);
  // A file of one pixel is a valid picture: either there are boxes for it, or the message names it.
  await extractFeatures([plain], join(folder, 'plain.tsv'), { detector }).catch((error: unknown) =>
    expect(String(error)).toContain(plain),
  );
});

test('a picture of too many pixels is refused before it is decoded; of an animation the first frame counts', async () => {
  const huge = readFileSync(drawn.landscape);
  // Width and height are in the header, which has a checksum.
  huge.writeUInt32BE(20_000, 16);
  huge.writeUInt32BE(20_000, 20);
  huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29);
  const path = join(folder, 'huge.png');
  writeFileSync(path, huge);
  await expect(decodePicture({ path })).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringMatching(/huge\.png: .*it has more than \d+ pixels/) as unknown,
  });
  const frames = Buffer.concat([Buffer.alloc(12, 200), Buffer.alloc(12, 20)]);
  const animated = join(folder, 'animated.gif');
  await sharp(frames, { raw: { width: 2, height: 4, channels: 3, pageHeight: 2 } })
    .gif()
    .toFile(animated);
  const { width, height, data } = await decodePicture({ path: animated });
  expect([width, height, data[0]]).toEqual([2, 2, 200]);
});

test('two pictures of one name, and a folder without pictures, are refused before any work', async () => {
  const twin = join(folder, 'b.jpeg');
  const out = join(folder, 'twins.tsv');
  writeFileSync(twin, '');
  await expect(extractFeatures([pictures, twin], out, { detector })).rejects.toThrow("would both have the id 'b'");
  mkdirSync(join(folder, 'empty'));
  await expect(extractFeatures([join(folder, 'empty')], out, { detector })).rejects.toThrow(
    'the folder holds no pictures',
  );
  expect(existsSync(`${out}.part`)).toBe(false);
});

test('pictures of all kinds are decoded to the same colours', async () => {
  const colours = {
    create: { width: 2, height: 1, channels: 4 as const, background: { r: 200, g: 40, b: 90, alpha: 0.5 } },
  };
  const first = async (name: string, make: (path: string) => Promise<unknown>) => {
    const path = join(folder, name);
    await make(path);
    const { width, height, data } = await decodePicture({ path });
    return [width, height, ...data.subarray(0, 3)];
  };
  // The alpha channel is dropped, not applied.
  expect(await first('alpha.png', (path) => sharp(colours).png().toFile(path))).toEqual([2, 1, 200, 40, 90]);
  const grey = { create: { width: 2, height: 1, channels: 3 as const, background: { r: 77, g: 77, b: 77 } } };
  expect(await first('grey.png', (path) => sharp(grey).greyscale().png().toFile(path))).toEqual([2, 1, 77, 77, 77]);
  expect(await first('deep.png', (path) => sharp(grey).toColourspace('rgb16').png().toFile(path))).toEqual([
    2, 1, 77, 77, 77,
  ]);
  // EXIF says that the picture is rotated by 90 degrees.
  expect(await first('turned.png', (path) => sharp(grey).withMetadata({ orientation: 6 }).png().toFile(path))).toEqual([
    1, 2, 77, 77, 77,
  ]);
  // The contents of the file determine its form, not the ending of its name.
  const named = join(folder, 'really.jpeg');
  await rename(join(folder, 'grey.png'), named);
  expect((await decodePicture({ path: named })).width).toBe(2);
});

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CompiledCopy } from '../../train/support/compile.js';
import { TestFolders, testImage, tsvFields } from '../support/samples.js';

/** The memory of a process that reads a TSV which is much larger than the allowed memory. */
const images = 320;
const featureDim = 2048;

const folders = new TestFolders();
let copy: CompiledCopy;
let file: string;
let bytes: number;

beforeAll(async () => {
  copy = await CompiledCopy.make();
  file = join(await folders.make(), 'large.tsv');
  const fields = tsvFields(testImage(0, 36, featureDim));
  const handle = await open(file, 'w');
  for (let i = 0; i < images; i++) await handle.write(`${[`image_${i}`, ...fields.slice(1)].join('\t')}\n`);
  bytes = (await handle.stat()).size;
  await handle.close();
  await writeFile(
    join(copy.folder, 'read.mjs'),
    `
import { readFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';
import { openFeatureTsv } from './src/data/features/featureTsv.js';
import { allocateObjectRows } from './src/data/features/featureSource.js';
import { residentFeatures } from './src/data/features/residentFeatures.js';
// Garbage is collected often, so that only used memory is measured.
v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');
const before = process.memoryUsage.rss();
const { reader, imageIds } = await openFeatureTsv(process.argv[2], { inMemory: process.argv[3] === 'memory' });
if (process.argv[3] === 'resident') {
  const images = Int32Array.from(imageIds, (_, i) => i);
  const data = { features: reader, imageIds, images, featureDim: ${featureDim} };
  for await (const piece of residentFeatures([data]).table.pieces()) collect();
} else {
  const rows = allocateObjectRows(36, ${featureDim});
  for (let i = 0; i < imageIds.length; i++) {
    await reader.read(i, rows, 0);
    await reader.readFeature(i, i % 36, rows.features, 0);
    if (i % 8 === 0) collect();
  }
}
await reader.close();
// resourceUsage().maxRSS is not used, because in a new process it begins with the value of the parent.
const peak = Number(/VmHWM:\\s*(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
console.log(JSON.stringify({ images: imageIds.length, grown: peak - before }));
`,
  );
});
afterAll(async () => {
  await copy.remove();
  await folders.remove();
});

async function read(how: 'file' | 'memory' | 'resident'): Promise<{ images: number; grown: number }> {
  const run = copy.start('read.mjs', [file, how]);
  expect(await run.ended).toBe(0);
  expect(run.errors).toBe('');
  return JSON.parse(run.lines[0]) as { images: number; grown: number };
}

test('a TSV is streamed: memory is far below the size of the file, unless the file should be kept in memory', async () => {
  expect(bytes).toBeGreaterThan(120e6);
  const streamed = await read('file');
  expect(streamed.images).toBe(images);

  // This is mostly for buffers, code, and the heap of a small program.
  expect(streamed.grown).toBeLessThan(bytes / 2);
  const handedOn = await read('resident');
  expect(handedOn.grown).toBeLessThan(bytes / 2);
  const held = await read('memory');
  expect(held.images).toBe(images);
  expect(held.grown).toBeGreaterThan(images * 36 * featureDim * 4);
});

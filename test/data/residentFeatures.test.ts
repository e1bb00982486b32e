/** Batches that name rows of a table of features are, row by row, the batches that carry them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import type { Batch } from '../../src/data/batch.js';
import { trainBatches, validBatches } from '../../src/data/batching.js';
import type { PreparationOptions } from '../../src/data/batching.js';
import { allocateObjectRows } from '../../src/data/featureSource.js';
import { openPretrainData } from '../../src/data/pretrainData.js';
import type { OpenPretrainOptions, PretrainData } from '../../src/data/pretrainData.js';
import { defaultWorkers, pretrainSource } from '../../src/data/pretrainSource.js';
import { residentFeatures } from '../../src/data/residentFeatures.js';
import type { FeatureTable } from '../../src/data/residentFeatures.js';
import { floatToHalf, halfToFloat } from '../../src/formats/dtypes.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { CompiledCopy } from '../train/support/compile.js';
import { TestFolders, testData, testImage, tsvFields, tsvText } from './samples.js';

const folders = new TestFolders();
const opened: PretrainData[] = [];
let copy: CompiledCopy;
let wordPiece: WordPiece;
let workerScript: URL;
beforeAll(async () => {
  copy = await CompiledCopy.make();
  workerScript = pathToFileURL(join(copy.folder, 'src/data/batchWorker.js'));
  wordPiece = await WordPiece.load();
});
afterAll(async () => {
  for (const data of opened) await data.close();
  await copy.remove();
  await folders.remove();
});

async function open(files: Record<string, string>, options: Partial<OpenPretrainOptions> = {}): Promise<PretrainData> {
  const dir = await folders.make(files);
  const data = await openPretrainData({ dir, splits: 'train', wordPiece, inMemory: false, ...options });
  opened.push(data);
  return data;
}

/** All numbers of a table. */
async function numbersOf(table: FeatureTable): Promise<Float32Array> {
  const pieces: number[] = [];
  for await (const piece of table.pieces()) pieces.push(...Array.from(piece, halfToFloat));
  expect(pieces).toHaveLength(table.rows * table.featureDim);
  return Float32Array.from(pieces);
}

const rounded = (values: Float32Array) => values.map((value) => halfToFloat(floatToHalf(value)));

/** The batch with its features fetched from the table, as the device does. */
function fetched({ resident, ...batch }: Batch, numbers: Float32Array, width: number): Batch {
  const fetch = (rows: Int32Array): Float32Array => {
    const values = new Float32Array(rows.length * width);
    rows.forEach((row, i) => row >= 0 && values.set(numbers.subarray(row * width, (row + 1) * width), i * width));
    return values;
  };
  expect([batch.visualFeats, batch.maskedObjects.targets]).toEqual([new Float32Array(0), new Float32Array(0)]);
  return {
    ...batch,
    visualFeats: fetch(resident!.rows),
    maskedObjects: { rows: batch.maskedObjects.rows, targets: fetch(resident!.targets) },
  };
}

const withRoundedFeatures = (batch: Batch): Batch => ({
  ...batch,
  visualFeats: rounded(batch.visualFeats),
  maskedObjects: { rows: batch.maskedObjects.rows, targets: rounded(batch.maskedObjects.targets) },
});

async function partsOf(batches: ReturnType<typeof trainBatches>, count: number): Promise<Batch[]> {
  const taken: Batch[] = [];
  for await (const { parts } of batches) {
    taken.push(...parts);
    if (taken.length >= count) break;
  }
  return taken;
}

describe('residentFeatures', () => {
  test.each([0, 2])('batches are the same but for where their features are, made by %d threads', async (workers) => {
    const data = await open(testData({ images: 40 }));
    const { table, sets } = residentFeatures([data]);
    expect(table.featureDim).toBe(6);
    const numbers = await numbersOf(table);
    const how: PreparationOptions = { workers, workerScript };
    const options = { seed: 4, batchSize: 24, partSize: 12, from: { epoch: 1, batch: 2 } };
    const [own] = sets;
    const got = await partsOf(trainBatches(own, { ...options, ...how }), 8);
    const expected = await partsOf(trainBatches(data, options), 8);
    expect(got.map((batch) => fetched(batch, numbers, 6))).toEqual(expected.map(withRoundedFeatures));
    // Zeros, kept ones and those of other images are all among them.
    const rows = got.flatMap(({ resident }) => [...resident!.rows]);
    expect(rows).toContain(-1);
    expect(new Set(rows).size).toBeGreaterThan(table.rows / 2);

    const [masked, unmasked] = [false, true].map(async (unmasked) => {
      const all: Batch[] = [];
      for await (const batch of validBatches(own, { batchSize: 50, unmasked, ...how })) all.push(batch);
      const alike: Batch[] = [];
      for await (const batch of validBatches(data, { batchSize: 50, unmasked })) alike.push(withRoundedFeatures(batch));
      expect(all.map((batch) => fetched(batch, numbers, 6))).toEqual(alike);
    });
    await Promise.all([masked, unmasked]);
  });

  test('the table has the images that samples show, in the order of their files, of all sets', async () => {
    const numbers = Array.from({ length: 10 }, (_, i) => i);
    const text = JSON.parse(testData({ images: 10 })['train.json']) as object[];
    const files = {
      ...testData({ images: 10 }),
      'data.yaml':
        'splits: { a: { features: f/train.tsv, sentences: a.json }, b: { features: f/train.tsv, sentences: b.json } }\n' +
        'objectLabels: 16\nattributeLabels: 8\n',
      'f/train.tsv': tsvText(numbers.map((i) => testImage(9 - i, 2, 3))),
      'a.json': JSON.stringify([5, 2, 8].map((i) => text[i])),
      'b.json': JSON.stringify([2, 7].map((i) => text[i])),
    };
    const dir = await folders.make(files);
    const of = (splits: string) => openPretrainData({ dir, splits, wordPiece, inMemory: false });
    const sets = [await of('a'), await of('b')];
    opened.push(...sets);
    const { table, sets: resident } = residentFeatures(sets);
    expect(table.rows).toBe(2 * (3 + 2));
    const images = [8, 5, 2, 7, 2].map((i) => testImage(i, 2, 3).features);
    expect(await numbersOf(table)).toEqual(rounded(Float32Array.from(images.flat())));
    for (const [set, data] of sets.entries())
      for (const image of data.images) {
        const [own, whole] = [allocateObjectRows(2, 0), allocateObjectRows(2, 3)];
        await resident[set].features.read(image, own, 0);
        await data.features.read(image, whole, 0);
        expect(own).toEqual({ ...whole, features: new Float32Array(0) });
      }
  });

  test('comes in pieces of whole images', async () => {
    const [objects, width, images] = [16, 32768, 11]; // 2 MiB each as float32
    const line = tsvFields(testImage(0, objects, width))
      .slice(1)
      .join('\t');
    const data = await open({
      ...testData({ images }),
      'f/train.tsv': Array.from({ length: images }, (_, i) => `image_${i}\t${line}\n`).join(''),
    });
    const { table } = residentFeatures([data]);
    const pieces: number[][] = [];
    for await (const piece of table.pieces()) pieces.push([piece.length, ...piece.subarray(-2)]);
    const last = Array.from(Float32Array.from(testImage(0, objects, width).features.slice(-2)), floatToHalf);
    expect(pieces).toEqual([8, 3].map((count) => [count * objects * width, ...last]));
  });

  test('no thread is wanted, and no memory for features', async () => {
    const data = await open(testData());
    const { table, sets } = residentFeatures([data, data]);
    await numbersOf(table);
    expect(defaultWorkers(data, 4)).toBe(3);
    expect(defaultWorkers(sets[0], 4)).toBe(0);
    const source = pretrainSource({ train: sets[0], valid: sets[1], seed: 1, batchSize: 8, workers: 1, workerScript });
    for await (const batch of source.validate()) {
      expect(batch.visualFeats.buffer.byteLength).toBe(0);
      source.release(batch);
    }
  });

  test('a number that float16 does not have is told with file, line and image', async () => {
    const images = [0, 1, 2].map((i) => testImage(i, 2, 3));
    const spoilt = { ...images[1], features: images[1].features.with(4, -65505) };
    const files = { ...testData({ images: 3 }), 'f/train.tsv': tsvText([images[0], spoilt, images[2]]) };
    for (const inMemory of [false, true]) {
      const { table } = residentFeatures([await open(files, { inMemory })]);
      const where = inMemory ? 'train\\.tsv' : 'train\\.tsv: line 2';
      const message = `${where}: features of image "image_1" have -65505 for object 1, value 1; float16 goes to 65504`;
      await expect(numbersOf(table)).rejects.toMatchObject({
        code: 'BAD_DATA',
        message: expect.stringMatching(new RegExp(message)),
      });
    }
  });
});

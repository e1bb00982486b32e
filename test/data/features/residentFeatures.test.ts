/** Batches with row numbers of a table of features must be equal, row by row, to batches that contain the features. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Batch } from '../../../src/data/batches/batch.js';
import { trainBatches, validBatches } from '../../../src/data/batches/batching.js';
import type { PreparationOptions } from '../../../src/data/batches/batching.js';
import { allocateObjectRows } from '../../../src/data/features/featureSource.js';
import type { ObjectReader } from '../../../src/data/features/featureSource.js';
import { FeatureFiles } from '../../../src/data/features/openFeatures.js';
import type { PretrainData } from '../../../src/data/samples/pretrainData.js';
import { defaultWorkers, pretrainSource } from '../../../src/data/batches/pretrainSource.js';
import { residentFeatures } from '../../../src/data/features/residentFeatures.js';
import type { FeatureTable, ResidentData } from '../../../src/data/features/residentFeatures.js';
import { defaultReaders } from '../../../src/data/features/tablePieces.js';
import { floatToHalf, halfToFloat } from '../../../src/formats/dtypes.js';
import { testData, testImage, tsvFields, tsvText } from '../support/samples.js';
import { ThreadedData, countThreads, take, timesOpen } from '../support/threads.js';

let threaded: ThreadedData;
let workerScript: URL;
/** The number of threads that read the table. */
let tableScript: URL;
beforeAll(async () => {
  threaded = await ThreadedData.make();
  workerScript = threaded.script('batches/batchWorker.js');
  tableScript = threaded.script('features/tableWorker.js');
});
afterAll(() => threaded.remove());

/** All numbers of a table. */
async function numbersOf(table: FeatureTable): Promise<Float32Array> {
  const pieces: number[] = [];
  for await (const piece of table.pieces()) pieces.push(...Array.from(piece, halfToFloat));
  expect(pieces).toHaveLength(table.rows * table.featureDim);
  return Float32Array.from(pieces);
}

const rounded = (values: Float32Array) => values.map((value) => halfToFloat(floatToHalf(value)));

/** Reads the features of a batch from the table, as the device does. */
function fetched({ residentRows, residentTargets, ...batch }: Batch, numbers: Float32Array, width: number): Batch {
  const fetch = (rows: Int32Array): Float32Array => {
    const values = new Float32Array(rows.length * width);
    rows.forEach((row, i) => row >= 0 && values.set(numbers.subarray(row * width, (row + 1) * width), i * width));
    return values;
  };
  expect([batch.visualFeats, batch.featureTargets]).toEqual([new Float32Array(0), new Float32Array(0)]);
  return { ...batch, visualFeats: fetch(residentRows!), featureTargets: fetch(residentTargets!) };
}

const withRoundedFeatures = (batch: Batch): Batch => ({
  ...batch,
  visualFeats: rounded(batch.visualFeats),
  featureTargets: rounded(batch.featureTargets),
});

async function partsOf(batches: ReturnType<typeof trainBatches>, count: number): Promise<Batch[]> {
  return (await take(batches, count)).flatMap(({ parts }) => parts);
}

describe('residentFeatures', () => {
  test.each([0, 2])('batches made by %d threads differ only in the place of their features', async (workers) => {
    const data = await threaded.open(testData({ images: 40 }));
    const { table, sets } = residentFeatures([data]);
    expect(table.featureDim).toBe(6);
    const numbers = await numbersOf(table);
    const how: PreparationOptions = { workers, workerScript };
    const options = { seed: 4, batchSize: 24, partSize: 12, from: { epoch: 1, batch: 2 } };
    const [own] = sets;
    const got = await partsOf(trainBatches(own, { ...options, ...how }), 4);
    const expected = await partsOf(trainBatches(data, options), 4);
    expect(got.map((batch) => fetched(batch, numbers, 6))).toEqual(expected.map(withRoundedFeatures));
    // The features must contain zeros, unchanged features, and features of other images.
    const rows = got.flatMap(({ residentRows }) => [...residentRows!]);
    expect(rows).toContain(-1);
    expect(new Set(rows).size).toBeGreaterThan(table.rows / 2);

    const [masked, unmasked] = [false, true].map(async (unmasked) => {
      const all = await take(validBatches(own, { batchSize: 50, unmasked, ...how }));
      const alike = await take(validBatches(data, { batchSize: 50, unmasked }));
      expect(all.map((batch) => fetched(batch, numbers, 6))).toEqual(alike.map(withRoundedFeatures));
    });
    await Promise.all([masked, unmasked]);
  });

  /** Ten images in one file, in reverse order. Split `a` uses images 5, 2 and 8, and split `b` uses images 2 and 7. */
  async function twoSplits(files = new FeatureFiles()): Promise<PretrainData[]> {
    const numbers = Array.from({ length: 10 }, (_, i) => i);
    const text = JSON.parse(testData({ images: 10 })['train.json']) as object[];
    const dir = await threaded.folders.make({
      ...testData({ images: 10 }),
      'data.yaml':
        'splits: { a: { features: f/train.tsv, sentences: a.json }, b: { features: f/train.tsv, sentences: b.json } }\n' +
        'objectLabels: 16\nattributeLabels: 8\n',
      'f/train.tsv': tsvText(numbers.map((i) => testImage(9 - i, 2, 3))),
      'a.json': JSON.stringify([5, 2, 8].map((i) => text[i])),
      'b.json': JSON.stringify([2, 7].map((i) => text[i])),
    });
    const sets: PretrainData[] = [];
    for (const splits of ['a', 'b']) sets.push(await threaded.openFolder(dir, { splits, files }));
    return sets;
  }

  /** The values of an image that a set reads, except its features. */
  async function detectionsOf(features: Pick<ObjectReader, 'read'>, image: number, width: number) {
    const rows = allocateObjectRows(2, width);
    await features.read(image, rows, 0);
    return { ...rows, features: undefined };
  }

  test('the table has the images that samples show, in the order of their files, each once', async () => {
    const sets = await twoSplits();
    const { table, sets: resident } = residentFeatures(sets);
    expect([table.rows, table.sharedRows]).toEqual([2 * 4, 2]);
    const images = [8, 5, 2, 7].map((i) => testImage(i, 2, 3).features);
    expect(await numbersOf(table)).toEqual(rounded(Float32Array.from(images.flat())));
    const firstRows = resident.map(({ features, images: shown }) =>
      [...new Set(shown)].map((image) => 'firstRow' in features && features.firstRow(image)),
    );
    expect(firstRows).toEqual([
      [2, 4, 0],
      [4, 6],
    ]);
    for (const [set, data] of sets.entries())
      for (const image of data.images)
        expect(await detectionsOf(resident[set].features, image, 0)).toEqual(
          await detectionsOf(data.features, image, 3),
        );
  });

  test('a file that is opened twice counts as one file', async () => {
    const [a] = await twoSplits();
    const path = join(a.features.path, '../..');
    const [first, second] = [
      await threaded.openFolder(path, { splits: 'a' }),
      await threaded.openFolder(path, { splits: 'b' }),
    ];
    expect(residentFeatures([first, second]).table).toMatchObject({ rows: 2 * 4, sharedRows: 2 });
    // In another file, the same names mean other images.
    const [, other] = await twoSplits();
    expect(residentFeatures([first, other]).table).toMatchObject({ rows: 2 * 5, sharedRows: 0 });
  });

  test('is given in pieces of whole images', async () => {
    const [objects, width, images] = [16, 32768, 11]; // each image has 2 MiB as float32
    const line = tsvFields(testImage(0, objects, width))
      .slice(1)
      .join('\t');
    const data = await threaded.open({
      ...testData({ images }),
      'f/train.tsv': Array.from({ length: images }, (_, i) => `image_${i}\t${line}\n`).join(''),
    });
    const { table } = residentFeatures([data]);
    const pieces: number[][] = [];
    for await (const piece of table.pieces()) pieces.push([piece.length, ...piece.subarray(-2)]);
    const last = Array.from(Float32Array.from(testImage(0, objects, width).features.slice(-2)), floatToHalf);
    expect(pieces).toEqual([8, 3].map((count) => [count * objects * width, ...last]));
  });

  /** All results of reading a table. */
  async function contentsOf({ table, sets }: ResidentData) {
    const pieces = await take(copies(table));
    return { pieces, detections: sets.map(({ features }) => features.shared) };
  }

  async function* copies(table: FeatureTable) {
    for await (const piece of table.pieces()) {
      // If the threads wrote into the piece by mistake, this would give them time to do it.
      await new Promise((done) => setTimeout(done, 5));
      yield [...piece];
    }
  }

  test('has the same bits with any number of reading threads', async () => {
    const sets = await twoSplits();
    const whole = [await threaded.open(testData({ images: 40 })), await threaded.open(testData({ images: 30 }))];
    for (const data of [sets, whole]) {
      const own = { pieceBytes: 60, workerScript: tableScript };
      const expected = await contentsOf(residentFeatures(data, { ...own, workers: 0 }));
      expect(expected.pieces.length).toBeGreaterThan(2);
      for (const workers of [1, 2, 5])
        expect(await contentsOf(residentFeatures(data, { ...own, workers }))).toEqual(expected);
    }
  });

  test('after an early end, no thread runs and no file is open', async () => {
    const data = await threaded.open(testData({ images: 40 }));
    const before = await countThreads();
    for (const workers of [0, 3]) {
      const { table } = residentFeatures([data], { workers, workerScript: tableScript, pieceBytes: 200 });
      expect(await take(table.pieces(), 2)).toHaveLength(2);
      // Threads of libuv's pool may have started in the meantime.
      expect(await countThreads()).toBeLessThanOrEqual(before + 4);
      // The opened data have the file open once.
      expect(await timesOpen(data.features.path)).toBe(1);
    }
  });

  test('the error is that of the first damaged line, in any order of the threads', async () => {
    const files = testData({ images: 60 });
    const lines = files['f/train.tsv'].split('\n');
    // Two damaged lines are read at the same time, unless they are in the same part.
    for (const i of [33, 34, 50]) {
      const image = testImage(i, 3 + (i % 4), 6);
      lines[i] = tsvFields({ ...image, features: image.features.with(6, NaN) }).join('\t');
    }
    const data = await threaded.open({ ...files, 'f/train.tsv': lines.join('\n') });
    const message = `${data.features.path}: line 34: features must be finite, found NaN for object 1, value 0`;
    for (const pieceBytes of [1, 300, 1e6])
      for (const workers of [0, 1, 4]) {
        const { table } = residentFeatures([data], { workers, workerScript: tableScript, pieceBytes });
        await expect(take(table.pieces())).rejects.toMatchObject({
          name: 'LxmertError',
          code: 'BAD_DATA',
          message: expect.stringContaining(message),
        });
      }
  });

  test('threads refuse a file that was removed or replaced', async () => {
    const dir = await threaded.folders.make(testData({ images: 10 }));
    const data = await threaded.openFolder(dir);
    const file = join(dir, 'f/train.tsv');
    const read = () => take(residentFeatures([data], { workers: 2, workerScript: tableScript }).table.pieces());
    await rename(file, `${file}.old`);
    await expect(read()).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await writeFile(file, tsvText([testImage(0, 3, 6)]));
    await expect(read()).rejects.toMatchObject({ message: `${file}: has changed since it was opened` });
    const nowhere = residentFeatures([data], { workers: 2, workerScript: threaded.script('nowhere.js') });
    await expect(take(nowhere.table.pieces())).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(/^a thread that reads features died: .*nowhere\.js/),
    });
  });

  test('by default all cores except one read it, but at most 8', () => {
    expect([1, 2, 8, 64].map(defaultReaders)).toEqual([1, 1, 7, 8]);
  });

  test('batches need no worker threads, and no memory for features', async () => {
    const data = await threaded.open(testData());
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

  test('a number that is too large for float16 is an error with file, line and image', async () => {
    const images = [0, 1, 2].map((i) => testImage(i, 2, 3));
    const spoilt = { ...images[1], features: images[1].features.with(4, -65505) };
    const files = { ...testData({ images: 3 }), 'f/train.tsv': tsvText([images[0], spoilt, images[2]]) };
    for (const [inMemory, workers] of [
      [false, 0],
      [false, 2],
      [true, 0],
      [true, 2],
    ] as const) {
      const how = { workers, workerScript: tableScript };
      const { table } = residentFeatures([await threaded.open(files, { inMemory })], how);
      const where = inMemory ? 'train\\.tsv(: line 2)?' : 'train\\.tsv: line 2';
      const message = `${where}: features of image "image_1" have -65505 for object 1, value 1; float16 goes to 65504`;
      await expect(numbersOf(table)).rejects.toMatchObject({
        code: 'BAD_DATA',
        message: expect.stringMatching(new RegExp(message)),
      });
    }
  });
});

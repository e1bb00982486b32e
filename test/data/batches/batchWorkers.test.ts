import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { types } from 'node:util';
import { trainBatches, validBatches } from '../../../src/data/batches/batching.js';
import { openBatchMaker, type BatchMaker } from '../../../src/data/batches/batchMaker.js';
import { allTasks, paperRates, type PretrainTasks } from '../../../src/data/batches/masking.js';
import type { PretrainData } from '../../../src/data/samples/pretrainData.js';
import { defaultWorkers, pretrainSource } from '../../../src/data/batches/pretrainSource.js';
import { sharedArrays } from '../../../src/data/sharedArrays.js';
import { testData, testImage, tsvFields, tsvText } from '../support/samples.js';
import { ThreadedData, countThreads, take, timesOpen } from '../support/threads.js';

let threaded: ThreadedData;
let workerScript: URL;

beforeAll(async () => {
  threaded = await ThreadedData.make();
  workerScript = threaded.script('batches/batchWorker.js');
});
afterAll(() => threaded.remove());

const open = (images: number, inMemory: boolean) => threaded.open(testData({ images }), { inMemory });

/** Two splits with different files, whose sources are merged. */
function openTwo(inMemory: boolean): Promise<PretrainData> {
  const files = testData({ images: 20 });
  const lines = files['f/train.tsv'].split('\n');
  const text = JSON.parse(files['train.json']) as object[];
  const all = {
    ...files,
    'data.yaml': `splits:
  a: { features: a.tsv, sentences: a.json }
  b: { features: b.tsv, sentences: b.json }
objectLabels: 16
attributeLabels: 8`,
    'a.tsv': `${lines.slice(0, 9).join('\n')}\n`,
    'b.tsv': lines.slice(7).join('\n'),
    'a.json': JSON.stringify(text.slice(0, 12)),
    'b.json': JSON.stringify(text.slice(12)),
  };
  return threaded.open(all, { inMemory, splits: 'a,b' });
}

describe('batches made by worker threads', () => {
  const options = { seed: 5, batchSize: 16, partSize: 6 };

  test.each([
    ['in memory', () => open(40, true)],
    ['from a TSV', () => open(40, false)],
    ['from two in memory', () => openTwo(true)],
    ['from two TSVs', () => openTwo(false)],
  ])('are those of the main thread, in order, with any number of workers: %s', async (_, openData) => {
    const data = await openData();
    const expected = await take(trainBatches(data, options), 9);
    const valid = await take(validBatches(data, { batchSize: 7 }));
    const answered = { batchSize: 7, unmasked: true, answered: true };
    for (const workers of [1, 2, 5]) {
      const how = { workers, workerScript };
      expect(await take(trainBatches(data, { ...options, ...how }), 9)).toEqual(expected);
      expect(await take(validBatches(data, { batchSize: 7, ...how }))).toEqual(valid);
      expect(await take(validBatches(data, { ...answered, ...how }))).toEqual(await take(validBatches(data, answered)));
    }
  });

  test('each epoch has its tasks, also in batches that are prepared in advance', async () => {
    const data = await open(40, false);
    // Seven batches an epoch.
    const tasksOn = (epoch: number): PretrainTasks => ({ ...allTasks, maskedLm: epoch === 1, qa: epoch === 0 });
    const expected = await take(trainBatches(data, { ...options, tasksOn }), 16);
    const masked = expected.map(({ parts }) => parts.some(({ maskedTokenRows }) => maskedTokenRows.length > 0));
    expect(masked).toEqual(expected.map(({ position }) => position.epoch === 1));
    for (const workers of [1, 3]) {
      const how = { ...options, tasksOn, workers, workerScript };
      expect(await take(trainBatches(data, how), 16)).toEqual(expected);
      const from = expected[6].position;
      expect(await take(trainBatches(data, { ...how, from }), 10)).toEqual(expected.slice(6));
    }
  });

  test('released memory is used again, and the batches are the same', async () => {
    const data = await open(40, false);
    const expected = await take(trainBatches(data, options), 30);
    const source = pretrainSource({ train: data, valid: data, ...options, workers: 2, workerScript });
    const allocated = jest.spyOn(sharedArrays, 'float32');
    let i = 0;
    for await (const batch of source.train({ epoch: 0, batch: 0 })) {
      expect(batch).toEqual(expected[i++]);
      // Batches that were requested before the first release have new memory.
      if (i > 15) expect(batch.parts.every((part) => types.isSharedArrayBuffer(part.visualFeats.buffer))).toBe(true);
      batch.parts.forEach((part) => source.release(part));
      if (i === 30) break;
    }
    // There are 90 parts with two arrays each.
    expect(allocated.mock.calls.length).toBeLessThan(40);
    allocated.mockRestore();
    expect(await take(source.validate())).toEqual(await take(validBatches(data, { batchSize: 6 })));
  });

  test('workers end with the iteration, also in the middle of an epoch; no thread is left, and no file is open', async () => {
    const data = await open(40, false);
    const before = await countThreads();
    for (let i = 0; i < 5; i++) {
      const batches = trainBatches(data, { ...options, workers: 3, workerScript });
      await batches.next();
      expect(await countThreads()).toBeGreaterThan(before);
      await batches.return(undefined);
      expect((await batches.next()).done).toBe(true);
    }
    // Threads of libuv's pool may have started in the meantime.
    expect(await countThreads()).toBeLessThanOrEqual(before + 4);
    // The opened data have the file open once.
    expect(await timesOpen(data.features.path)).toBe(1);
  });

  test('the default number of workers is 0 for features in memory, and more for files', async () => {
    const [memory, file] = [await open(3, true), await open(3, false)];
    expect([1, 2, 8].map((cores) => defaultWorkers(memory, cores))).toEqual([0, 0, 0]);
    expect([1, 2, 4, 64].map((cores) => defaultWorkers(file, cores))).toEqual([1, 1, 3, 4]);
    expect(defaultWorkers(await openTwo(false), 4)).toBe(3);
    expect(defaultWorkers(await openTwo(true), 4)).toBe(0);
  });

  test('at most one batch more than there are workers is prepared in advance', async () => {
    const data = await open(40, true);
    const counted = jest.spyOn(data.features, 'numObjects');
    const source = pretrainSource({ train: data, seed: 5, batchSize: 10, workers: 2, workerScript });
    const batches = source.train({ epoch: 0, batch: 0 })[Symbol.asyncIterator]();
    for (let i = 1; i <= 4; i++) {
      await batches.next();
      await new Promise((done) => setTimeout(done, 100));
      // The main thread counts the objects of a batch when it requests the batch from the workers.
      expect(counted.mock.calls.length / 10).toBeLessThanOrEqual(i + 3);
    }
    expect(counted.mock.calls.length / 10).toBeGreaterThanOrEqual(6);
    counted.mockRestore();
    await batches.return!();
  });
});

describe('errors in a worker thread', () => {
  const job = { samples: Uint32Array.of(1, 2), epoch: 0, firstSample: 0, tasks: allTasks };
  const makerOf = (data: PretrainData, workers: number, script: URL): BatchMaker =>
    openBatchMaker(data, { seed: 1, rates: paperRates, workers, workerScript: script });

  /** Image 30 has a feature that is not finite; reading it fails. */
  function damaged(): Promise<PretrainData> {
    const files = testData({ images: 40 });
    const lines = files['f/train.tsv'].split('\n');
    const image = testImage(30, 5, 6);
    lines[30] = tsvFields({ ...image, features: image.features.map((x, i) => (i === 8 ? NaN : x)) }).join('\t');
    return threaded.open({ ...files, 'f/train.tsv': lines.join('\n') });
  }

  test('the error of a damaged line names file, line and field, and is thrown at the place of its batch', async () => {
    const data = await damaged();
    const message = `${data.features.path}: line 31: features must be finite, found NaN for object 1, value 2`;
    const [tasks, batchSize] = [{ ...allTasks, objects: false }, 10];
    for (const workers of [0, 1, 3]) {
      const batches = validBatches(data, { batchSize, tasks, workers, workerScript });
      for (let i = 0; i < 9; i++) expect((await batches.next()).done).toBe(false);
      await expect(batches.next()).rejects.toMatchObject({
        name: 'LxmertError',
        code: 'BAD_DATA',
        message: expect.stringContaining(message),
      });
      expect((await batches.next()).done).toBe(true);
    }
  });

  test('a file that was removed or replaced after it was opened', async () => {
    const files = testData({ images: 10 });
    const dir = await threaded.folders.make(files);
    const data = await threaded.openFolder(dir);
    const file = join(dir, 'f/train.tsv');
    const how = { batchSize: 10, workers: 2, workerScript };
    await rename(file, `${file}.old`);
    await expect(take(validBatches(data, how))).rejects.toMatchObject({
      code: 'FILE_MISSING',
      message: `${file}: there is no such file or folder (ENOENT); expected a feature TSV`,
    });
    await writeFile(file, tsvText([testImage(0, 3, 6)]));
    await expect(take(validBatches(data, how))).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: `${file}: has changed since it was opened`,
    });
  });

  test.each([
    ['throws', 'throw new Error("no more")', /^a thread that prepares batches died: no more$/],
    [
      'exits',
      'export default () => process.exit(7);',
      /^a thread that prepares batches died: worker exited with code: 7$/,
    ],
    ['exits when it starts', 'process.exit(7);', /^a thread that prepares batches died: worker exited with code: 7$/],
    ['cannot be parsed', '(', /^a thread that prepares batches died: /],
  ])('if a worker %s, all requests get an error, and nothing hangs', async (what, program, message) => {
    const data = await open(10, true);
    const script = pathToFileURL(join(threaded.copy.folder, `${what.replaceAll(' ', '-')}.js`));
    await writeFile(script, program);
    const maker = makerOf(data, 2, script);
    const asked = await Promise.allSettled([job, job, job].map((each) => maker.make(each)));
    for (const one of asked) {
      expect(one).toMatchObject({
        status: 'rejected',
        reason: { name: 'LxmertError', code: 'INTERNAL', message: expect.stringMatching(message) },
      });
    }
    await expect(maker.make(job)).rejects.toMatchObject({ code: 'INTERNAL' });
    await maker.close();
    await maker.close();
  });

  test('a missing program file', async () => {
    const data = await open(10, true);
    const nowhere = pathToFileURL(join(threaded.copy.folder, 'nowhere.js'));
    await expect(take(validBatches(data, { batchSize: 4, workers: 2, workerScript: nowhere }))).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('nowhere.js'),
    });
  });

  test('after the end, requests are refused', async () => {
    const data = await open(10, true);
    const maker = makerOf(data, 1, workerScript);
    const begun = maker.make(job);
    const waiting = expect(maker.make(job)).rejects.toMatchObject({ code: 'DISPOSED' });
    await maker.close();
    await waiting;
    expect(await begun).toMatchObject({ size: 2, sampleIds: [data.sampleId(1), data.sampleId(2)] });
    await expect(maker.make(job)).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test.each([[-1], [1.5], [257], [NaN]])('%p workers are refused', async (workers) => {
    const data = await open(3, true);
    expect(() => trainBatches(data, { seed: 1, batchSize: 2, workers })).toThrow('workers must be an integer from 0');
  });
});

describe('a process with worker threads', () => {
  const program = (rest: string) => `
import { openPretrainData } from './src/data/samples/pretrainData.js';
import { trainBatches } from './src/data/batches/batching.js';
import { WordPiece } from './src/text/wordPiece.js';
const data = await openPretrainData({ dir: process.argv[2], splits: 'train', wordPiece: await WordPiece.load(), inMemory: false });
const batches = trainBatches(data, { seed: 1, batchSize: 8, workers: 3 });
const { value } = await batches.next();
console.log(value.parts[0].sampleIds.length);
${rest}`;

  test.each([
    ['left alone', '', 0],
    ['after its end', 'await batches.return(); await data.close();', 0],
    ['with an exit', 'process.exit(5);', 5],
    ['with an exit while a batch is made', 'void batches.next(); process.exit(6);', 6],
    ['by an error', 'setTimeout(() => { throw new Error("x"); }, 20);', 1],
    [
      'by a signal',
      'process.kill(process.pid, "SIGTERM"); await new Promise(() => setTimeout(() => {}, 1e6));',
      'SIGTERM',
    ],
  ])('ends: %s', async (what, rest, end) => {
    const script = `${what.replaceAll(' ', '-')}.mjs`;
    await writeFile(join(threaded.copy.folder, script), program(rest));
    const run = threaded.copy.start(script, [await threaded.folders.make(testData({ images: 40 }))]);
    const ended = await run.ended;
    expect({ ended, lines: run.lines, errors: end === 1 ? '' : run.errors }).toEqual({
      ended: end,
      lines: ['8'],
      errors: '',
    });
  });
});

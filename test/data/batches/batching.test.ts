import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { batchesPerEpoch, trainBatches, validBatches } from '../../../src/data/batches/batching.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import type { PretrainData } from '../../../src/data/samples/pretrainData.js';
import { allTasks, type PretrainTasks } from '../../../src/data/batches/masking.js';
import { pretrainSource, type PretrainSource } from '../../../src/data/batches/pretrainSource.js';
import type { TrainSource } from '../../../src/train/trainable.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { samplesOf } from '../support/batchView.js';
import { TestFolders, testData, testText } from '../support/samples.js';
import type { TestDataOptions } from '../support/samples.js';

const folders = new TestFolders();
let wordPiece: WordPiece;
let data: PretrainData;

beforeAll(async () => {
  wordPiece = await WordPiece.load();
  data = await open({ images: 40 });
});

afterAll(async () => {
  await data.close();
  await folders.remove();
});

async function open(options: TestDataOptions, inMemory = true): Promise<PretrainData> {
  const dir = await folders.make(testData(options));
  return openPretrainData({ dir, splits: 'train', wordPiece, inMemory });
}

async function take<T>(source: AsyncIterable<T>, count = Infinity): Promise<T[]> {
  const taken: T[] = [];
  for await (const value of source) {
    taken.push(value);
    if (taken.length === count) break;
  }
  return taken;
}

describe('trainBatches', () => {
  const options = { seed: 5, batchSize: 32 };

  test('give every sample once an epoch, in another order each time, without the last incomplete batch', async () => {
    expect(batchesPerEpoch(data.size, 32)).toBe(3);
    const batches = await take(trainBatches(data, options), 7);
    expect(batches.map(({ position }) => [position.epoch, position.batch])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
    ]);
    const ids = (from: number) => batches.slice(from, from + 3).flatMap(({ parts }) => parts[0].sampleIds);
    for (const from of [0, 3]) expect(new Set(ids(from)).size).toBe(96);
    expect(ids(0)).not.toEqual(ids(3));
  });

  test('starting at any position gives the same batch as starting at the beginning', async () => {
    const batches = await take(trainBatches(data, options), 6);
    for (const from of [0, 2, 4]) {
      const [again] = await take(trainBatches(data, { ...options, from: batches[from].position }), 1);
      expect(again).toEqual(batches[from]);
    }
    const [other] = await take(trainBatches(data, { ...options, seed: 6 }), 1);
    expect(other.parts[0].sampleIds).not.toEqual(batches[0].parts[0].sampleIds);
  });

  test('a sample does not depend on the batch size, the parts or the ranks', async () => {
    const whole = (await take(trainBatches(data, options), 3)).flatMap(({ parts }) => parts.flatMap(samplesOf));
    const smaller = await take(trainBatches(data, { ...options, batchSize: 8 }), 12);
    expect(smaller.flatMap(({ parts }) => parts.flatMap(samplesOf))).toEqual(whole);

    const inParts = await take(trainBatches(data, { ...options, partSize: 12 }), 3);
    expect(inParts[0].parts.map(({ size, firstSample }) => [size, firstSample])).toEqual([
      [12, 0],
      [12, 12],
      [8, 24],
    ]);
    expect(inParts.flatMap(({ parts }) => parts.flatMap(samplesOf))).toEqual(whole);

    const ranks = await Promise.all(
      [0, 1, 2].map((rank) => take(trainBatches(data, { ...options, share: { rank, ranks: 3 } }), 3)),
    );
    expect(ranks.map(([{ parts }]) => [parts[0].firstSample, parts[0].size])).toEqual([
      [0, 10],
      [10, 11],
      [21, 11],
    ]);
    const together = [0, 1, 2].flatMap((i) => ranks.flatMap((rank) => rank[i].parts.flatMap(samplesOf)));
    expect(together).toEqual(whole);
  });

  test('every epoch is prepared for its tasks, from any starting position', async () => {
    const wordsToo = (epoch: number) => epoch < 1 || epoch >= 3;
    const tasksOn = (epoch: number): PretrainTasks => ({
      ...{ maskedLm: wordsToo(epoch), matched: true, objects: epoch !== 2, qa: epoch >= 2 },
    });
    const batches = await take(trainBatches(data, { ...options, tasksOn }), 12);
    expect(batches.map(({ position }) => position.epoch)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    for (const { position, parts } of batches) {
      const tasks = tasksOn(position.epoch);
      const [part] = parts;
      expect({
        maskedLm: part.maskedTokenRows.length > 0,
        matched: part.matched.includes(0),
        objects: part.maskedObjectRows.length > 0,
        qa: part.answers.some((answer) => answer >= 0),
      }).toEqual(tasks);
      // An epoch is the same as in a run that has these tasks in all epochs.
      const [always] = await take(trainBatches(data, { ...options, from: position, tasksOn: () => tasks }), 1);
      expect(always).toEqual({ position, parts });
    }
    for (let at = 1; at < batches.length; at++) {
      const from = batches[at].position;
      const rest = await take(trainBatches(data, { ...options, tasksOn, from }), batches.length - at);
      expect(rest).toEqual(batches.slice(at));
    }
  });

  test('if there are fewer samples than a batch has, they are one batch', async () => {
    const few = await open({ images: 3 });
    expect(batchesPerEpoch(few.size, 32)).toBe(1);
    const batches = await take(trainBatches(few, options), 3);
    expect(batches.map(({ position, parts }) => [position.epoch, parts[0].size])).toEqual([
      [0, 9],
      [1, 9],
      [2, 9],
    ]);
  });

  test.each([
    [{ batchSize: 0 }, 'batchSize must be an integer from 1, found 0'],
    [{ batchSize: 2.5 }, 'batchSize'],
    [{ seed: -1 }, 'seed must be an integer from 0, found -1'],
    [{ seed: NaN }, 'seed'],
    [{ partSize: 0 }, 'partSize'],
    [{ from: { epoch: 0, batch: 3 } }, 'from.batch must be an integer from 0 to 2, found 3'],
    [{ from: { epoch: -1, batch: 0 } }, 'from.epoch'],
    [{ share: { rank: 2, ranks: 2 } }, 'share.rank must be an integer from 0 to 1, found 2'],
    [{ rates: { words: 2 } }, "masking rate 'words'"],
  ])('%j is refused', (change, message) => {
    expect(() => trainBatches(data, { ...options, ...change })).toThrow(message);
  });

  test('an error in the data rejects the request for the batch', async () => {
    const closed = await open({ images: 3 }, false);
    await closed.close();
    await expect(take(trainBatches(closed, options), 1)).rejects.toMatchObject({ name: 'LxmertError' });
  });
});

describe('validBatches', () => {
  test('all samples in order, the same each time, the last batch smaller', async () => {
    const batches = await take(validBatches(data, { batchSize: 50 }));
    expect(batches.map(({ size }) => size)).toEqual([50, 50, 20]);
    expect(batches.flatMap(({ sampleIds }) => sampleIds)).toEqual(
      Array.from({ length: data.size }, (_, i) => data.sampleId(i)),
    );
    expect(await take(validBatches(data, { batchSize: 50 }))).toEqual(batches);
    expect(batches.reduce((sum, { maskedTokenRows }) => sum + maskedTokenRows.length, 0)).toBeGreaterThan(100);
    const one = await take(validBatches(data, { batchSize: 1000 }));
    expect(samplesOf(one[0])).toEqual(batches.flatMap(samplesOf));
    expect(await take(validBatches(data, { batchSize: 50, seed: 3 }))).not.toEqual(batches);
  });

  test('with `answered`, the batches have only questions', async () => {
    const batches = await take(validBatches(data, { batchSize: 32, answered: true, unmasked: true }));
    expect(batches.map(({ size }) => size)).toEqual([32, 8]);
    for (const batch of batches) {
      expect(batch.sampleIds.every((id) => id.includes('_vqa_'))).toBe(true);
      expect(batch.answers.every((answer) => answer >= 0)).toBe(true);
      expect(batch.matched.every((m) => m === 1)).toBe(true);
      expect(batch.maskedTokenRows).toHaveLength(0);
    }
  });

  test('with `answered`, samples without an answer give no batch, also at the end', async () => {
    const captions = await open({ images: 3, text: (i) => ({ img_id: `image_${i}`, sentf: testText(i).sentf }) });
    expect(await take(validBatches(captions, { batchSize: 4, answered: true }))).toEqual([]);
  });
});

describe('pretrainSource', () => {
  test('gives training and validation batches', async () => {
    // The type must be accepted by the trainer.
    const source: PretrainSource & TrainSource = pretrainSource({
      train: data,
      valid: data,
      seed: 5,
      batchSize: 32,
      partSize: 16,
    });
    expect(source.batchesPerEpoch).toBe(3);
    const from = { epoch: 1, batch: 2 };
    expect(await take(source.train(from), 2)).toEqual(
      await take(trainBatches(data, { seed: 5, batchSize: 32, partSize: 16, from }), 2),
    );
    expect(await take(source.validate())).toEqual(await take(validBatches(data, { batchSize: 16 })));
    expect((await take(source.validateAnswers())).reduce((sum, { size }) => sum + size, 0)).toBe(40);
  });

  test('released memory is used again, and the batches are the same', async () => {
    const source = pretrainSource({ train: data, seed: 5, batchSize: 32 });
    const expected = await take(trainBatches(data, { seed: 5, batchSize: 32 }), 9);
    const buffers = new Set<ArrayBufferLike>();
    let i = 0;
    for await (const batch of source.train({ epoch: 0, batch: 0 })) {
      expect(batch).toEqual(expected[i++]);
      buffers.add(batch.parts[0].visualFeats.buffer).add(batch.parts[0].featureTargets.buffer);
      source.release(batch.parts[0]);
      source.release(batch.parts[0]); // a second release has no effect
      if (i === 9) break;
    }
    expect(buffers.size).toBeLessThanOrEqual(8);
  });

  test('memory is used again after a change of tasks, and batches that were prepared in advance are not lost', async () => {
    const tasksOn = (epoch: number): PretrainTasks => ({ ...allTasks, maskedLm: epoch === 0, objects: epoch !== 1 });
    const expected = await take(trainBatches(data, { seed: 5, batchSize: 32, tasksOn }), 9);
    const source = pretrainSource({ train: data, seed: 5, batchSize: 32, tasksOn });
    const buffers = new Set<ArrayBufferLike>();
    let i = 0;
    for await (const batch of source.train({ epoch: 0, batch: 0 })) {
      expect(batch).toEqual(expected[i++]);
      buffers.add(batch.parts[0].visualFeats.buffer);
      batch.parts.forEach((part) => source.release(part));
      if (i === 9) break;
    }
    expect(i).toBe(9);
    expect(buffers.size).toBeLessThanOrEqual(8);
  });

  test('validation is prepared for its own tasks', async () => {
    const validTasks = { ...allTasks, objects: false };
    const source = pretrainSource({ train: data, valid: data, seed: 5, batchSize: 32, validTasks });
    const batches = await take(source.validate());
    expect(batches).toEqual(await take(validBatches(data, { batchSize: 32, tasks: validTasks })));
    expect(batches.every(({ maskedObjectRows }) => maskedObjectRows.length === 0)).toBe(true);
    expect(batches.some(({ maskedTokenRows }) => maskedTokenRows.length > 0)).toBe(true);
  });

  test('memory that is not released is never used again', async () => {
    const source = pretrainSource({ train: data, seed: 5, batchSize: 32 });
    const batches = await take(source.train({ epoch: 0, batch: 0 }), 9);
    expect(batches).toEqual(await take(trainBatches(data, { seed: 5, batchSize: 32 }), 9));
    expect(new Set(batches.map(({ parts }) => parts[0].visualFeats.buffer)).size).toBe(9);
  });

  test('validation features of another width are refused', async () => {
    const wider = await open({ images: 3, featureDim: 7 });
    expect(() => pretrainSource({ train: data, valid: wider, seed: 5, batchSize: 32 })).toThrow(
      /features must have the same width: .*train\.tsv has 6 floats an object, .*train\.tsv has 7/,
    );
  });

  test('without a validation split there is nothing to validate', async () => {
    const source = pretrainSource({ train: data, seed: 5, batchSize: 32 });
    expect(await take(source.validate())).toEqual([]);
    expect(await take(source.validateAnswers())).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { assembleBatch } from '../../../src/data/batches/assembleBatch.js';
import type { AssembleJob } from '../../../src/data/batches/batchJob.js';
import type { Batch } from '../../../src/data/batches/batch.js';
import { allTasks, maskingRates } from '../../../src/data/batches/masking.js';
import type { MaskingRates, PretrainTasks } from '../../../src/data/batches/masking.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import type { PretrainData } from '../../../src/data/samples/pretrainData.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { sampleOf, samplesOf } from '../support/batchView.js';
import { readImage } from '../support/readImage.js';
import { TestFolders, testData } from '../support/samples.js';
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

const all = () => Uint32Array.from({ length: data.size }, (_, i) => i);

interface Asked extends Partial<Omit<AssembleJob, 'tasks'>> {
  /** Tasks that are not named are on. */
  readonly tasks?: Partial<PretrainTasks>;
  readonly rates?: Partial<MaskingRates>;
}

async function assembleOf(from: PretrainData, { tasks, rates, ...job }: Asked = {}): Promise<Batch> {
  const whole: AssembleJob = { samples: all(), epoch: 0, firstSample: 0, tasks: { ...allTasks, ...tasks }, ...job };
  const batch = await assembleBatch(from, whole, { seed: 1, rates: maskingRates(rates) });
  return { ...batch, sampleIds: Array.from(whole.samples, (sample) => from.sampleId(sample)) };
}

const assemble = (asked?: Asked): Promise<Batch> => assembleOf(data, asked);

/**
 * Four standard deviations around the mean of a binomial count. By chance, one of 16,000 runs without a fault fails.
 */
function expectShare(count: number, of: number, share: number): void {
  const deviation = Math.sqrt(of * share * (1 - share));
  expect(Math.abs(count - of * share)).toBeLessThan(4 * deviation);
}

describe('assembleBatch', () => {
  test('packs rows without padding: offsets, sizes, ascending masked rows', async () => {
    const batch = await assemble({ firstSample: 32 });
    const tokens = batch.tokenOffsets[batch.size];
    const objects = batch.objectOffsets[batch.size];
    expect(batch).toMatchObject({ size: data.size, firstSample: 32 });
    expect(batch.tokenOffsets).toHaveLength(data.size + 1);
    expect(batch.objectOffsets).toHaveLength(data.size + 1);
    expect(batch.tokenIds).toHaveLength(tokens);
    expect(batch.visualFeats).toHaveLength(objects * data.featureDim);
    expect(batch.visualPos).toHaveLength(objects * 4);
    const { objectLabels, objectConfs, attributeLabels, attributeConfs } = batch;
    for (const values of [objectLabels, objectConfs, attributeLabels, attributeConfs])
      expect(values).toHaveLength(objects);
    for (const rows of [batch.maskedTokenRows, batch.maskedObjectRows]) {
      expect([...rows]).toEqual([...new Set(rows)].sort((a, b) => a - b));
    }
    expect(batch.maskedTokenLabels).toHaveLength(batch.maskedTokenRows.length);
    expect(batch.featureTargets).toHaveLength(batch.maskedObjectRows.length * data.featureDim);
    expect([batch.residentRows, batch.residentTargets]).toEqual([undefined, undefined]);
    expect(batch.sampleIds).toEqual(Array.from(all(), (i) => data.sampleId(i)));
  });

  test('an unmasked batch has exactly the values of the files', async () => {
    const batch = await assemble({ unmasked: true });
    for (let i = 0; i < data.size; i++) {
      const sample = sampleOf(batch, i);
      const record = await readImage({ reader: data.features, imageIds: data.imageIds }, data.images[i]);
      expect(sample.tokens).toEqual([...data.tokens.subarray(data.tokenOffsets[i], data.tokenOffsets[i + 1])]);
      expect(sample.features).toEqual([...record.features]);
      expect(sample.boxes).toEqual([...record.boxes]);
      expect(sample.objects).toEqual([...record.objectIds, ...record.objectConfs]);
      expect(sample.attributes).toEqual([...record.attrIds, ...record.attrConfs]);
      expect(sample).toMatchObject({ wordRows: [], objectRows: [], matched: 1 });
      // The right colour has score 1, and pink has score 0.3.
      expect(sample.answer).toBe(i % 3 === 2 ? Math.floor(i / 3) % 5 : -1);
    }
  });

  test('words: 15 % are predicted, 80/10/10 [MASK]/random/kept, never [CLS] or [SEP]', async () => {
    const counts = { tokens: 0, predicted: 0, masked: 0, kept: 0, wrong: 0 };
    for (let epoch = 0; epoch < 40; epoch++) {
      const batch = await assemble({ epoch, tasks: { matched: false, objects: false } });
      for (const [i, sample] of samplesOf(batch).entries()) {
        const original = [...data.tokens.subarray(data.tokenOffsets[i], data.tokenOffsets[i + 1])];
        counts.tokens += original.length - 2;
        counts.predicted += sample.wordRows.length;
        const predicted = new Set(sample.wordRows);
        if (predicted.has(0) || predicted.has(original.length - 1)) counts.wrong++;
        if (sample.wordLabels.join() !== sample.wordRows.map((row) => original[row]).join()) counts.wrong++;
        for (const [row, token] of sample.tokens.entries()) {
          if (!predicted.has(row)) counts.wrong += token === original[row] ? 0 : 1;
          else if (token === wordPiece.maskId) counts.masked++;
          else if (token === original[row]) counts.kept++;
        }
      }
    }
    expect(counts.wrong).toBe(0);
    expect(counts.tokens).toBeGreaterThan(50_000);
    expectShare(counts.predicted, counts.tokens, 0.15);
    expectShare(counts.masked, counts.predicted, 0.8);
    expectShare(counts.kept, counts.predicted, 0.1);
    expectShare(counts.predicted - counts.masked - counts.kept, counts.predicted, 0.1);
  });

  test('objects: 15 % are predicted, 80/10/10 zero/another image’s/kept; boxes stay; targets are the originals', async () => {
    const width = data.featureDim;
    const whole = samplesOf(await assemble({ unmasked: true }));
    const counts = { objects: 0, predicted: 0, zero: 0, kept: 0, other: 0, wrong: 0 };
    for (let epoch = 0; epoch < 60; epoch++) {
      const batch = await assemble({ epoch });
      for (const [i, sample] of samplesOf(batch).entries()) {
        if (sample.boxes.join() !== whole[i].boxes.join()) counts.wrong++;
        if (sample.objects.join() !== whole[i].objects.join()) counts.wrong++;
        const objects = sample.features.length / width;
        counts.objects += objects;
        counts.predicted += sample.objectRows.length;
        for (let row = 0; row < objects; row++) {
          const feature = sample.features.slice(row * width, (row + 1) * width);
          const original = whole[i].features.slice(row * width, (row + 1) * width);
          const at = sample.objectRows.indexOf(row);
          if ((at < 0 ? feature : sample.targets[at]).join() !== original.join()) counts.wrong++;
          if (at < 0) continue;
          if (feature.every((x) => x === 0)) counts.zero++;
          else if (feature[0] === original[0]) counts.kept++;
          else {
            counts.other++;
            // Features of image n lie between n + 1 and n + 2.
            const from = Math.floor(feature[0]) - 1;
            expect(from).not.toBe(data.images[i]);
            const { features } = await readImage({ reader: data.features, imageIds: data.imageIds }, from);
            const place = [...features].indexOf(feature[0]);
            expect(place % width).toBe(0);
            expect(feature).toEqual([...features.subarray(place, place + width)]);
          }
        }
      }
    }
    expect(counts.wrong).toBe(0);
    expect(counts.objects).toBeGreaterThan(20_000);
    expectShare(counts.predicted, counts.objects, 0.15);
    expectShare(counts.zero, counts.predicted, 0.8);
    expectShare(counts.other, counts.predicted, 0.1);
    expectShare(counts.kept, counts.predicted, 0.1);
  });

  test('half of the sentences are of another image, and then the sample has no answer', async () => {
    const sentenceOf = new Map<string, number>();
    for (let i = 0; i < data.size; i++) {
      sentenceOf.set(data.tokens.subarray(data.tokenOffsets[i], data.tokenOffsets[i + 1]).join(), data.images[i]);
    }
    expect(sentenceOf.size).toBe(data.size);
    let swapped = 0;
    let wrong = 0;
    const sources = new Set<number>();
    for (let epoch = 0; epoch < 50; epoch++) {
      const batch = await assemble({ epoch, tasks: { maskedLm: false } });
      for (const [i, sample] of samplesOf(batch).entries()) {
        const image = sentenceOf.get(sample.tokens.join());
        if (sample.matched === 1) wrong += image === data.images[i] ? 0 : 1;
        else {
          if (image === undefined || image === data.images[i] || sample.answer !== -1) wrong++;
          sources.add(image!);
          swapped++;
        }
      }
    }
    expect(wrong).toBe(0);
    expectShare(swapped, 50 * data.size, 0.5);
    expect(sources.size).toBe(40);
  });

  test('answers are drawn in proportion to their scores', async () => {
    let colour = 0;
    let pink = 0;
    for (let epoch = 0; epoch < 100; epoch++) {
      const { answers } = await assemble({ epoch, tasks: { matched: false } });
      for (const [i, answer] of answers.entries()) {
        if (i % 3 !== 2) expect(answer).toBe(-1);
        else if (answer === 5) pink++;
        else {
          expect(answer).toBe(Math.floor(i / 3) % 5);
          colour++;
        }
      }
    }
    expect(colour + pink).toBe(4000);
    expectShare(colour, 4000, 1 / 1.3);
  });

  test('a task that is off masks and swaps nothing, and nothing else changes', async () => {
    const on = samplesOf(await assemble());
    const whole = samplesOf(await assemble({ unmasked: true }));
    const off = async (tasks: Partial<PretrainTasks>) => samplesOf(await assemble({ tasks }));

    const noObjects = await off({ objects: false });
    const noWords = await off({ maskedLm: false });
    const noQa = await off({ qa: false });
    const noMatching = await off({ matched: false });
    for (let i = 0; i < data.size; i++) {
      const { features } = whole[i];
      expect(noObjects[i]).toEqual({ ...on[i], features, objectRows: [], targets: [] });
      expect(noWords[i]).toMatchObject({ wordRows: [], matched: on[i].matched, features: on[i].features });
      if (on[i].matched === 1) expect(noWords[i].tokens).toEqual(whole[i].tokens);
      expect(noQa[i]).toEqual({ ...on[i], answer: -1 });
      expect(noMatching[i].matched).toBe(1);
      if (on[i].matched === 1) expect(noMatching[i]).toEqual(on[i]);
    }
  });

  test('rates can be changed; bad ones are refused', async () => {
    const none = await assemble({ rates: { words: 0, objects: 0, swapped: 0 } });
    expect([none.maskedTokenRows.length, none.maskedObjectRows.length]).toEqual([0, 0]);
    expect([...none.matched].every((m) => m === 1)).toBe(true);
    const full = await assemble({ rates: { words: 1, objects: 1, swapped: 1, masked: 1, random: 0 } });
    expect(full.maskedTokenRows).toHaveLength(full.tokenIds.length - 2 * full.size);
    expect(full.visualFeats.every((x) => x === 0)).toBe(true);
    expect([...full.matched].every((m) => m === 0)).toBe(true);
    for (const rates of [{ words: -0.1 }, { objects: 1.1 }, { swapped: NaN }, { masked: 0.95 }]) {
      expect(() => maskingRates(rates)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }));
    }
  });

  test('data read from disk gives the same batch as from memory', async () => {
    const onDisk = await open({ images: 40 }, false);
    expect(await assembleOf(onDisk, { epoch: 3 })).toEqual(await assemble({ epoch: 3 }));
    await onDisk.close();
  });

  test('sentences cannot be swapped if all are of one image; the other tasks still work', async () => {
    const one = await open({ images: 1 });
    const samples = Uint32Array.of(0, 1, 2);
    const rates = { objects: 1, masked: 0, random: 1, swapped: 1 };
    await expect(assembleOf(one, { samples, rates })).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining('all 3 sentences belong to one image'),
    });
    const batch = await assembleOf(one, { samples, rates, tasks: { matched: false } });
    expect([...batch.matched]).toEqual([1, 1, 1]);
    expect(batch.visualFeats.every((x) => x >= 1 && x < 2)).toBe(true);
  });

  test('of two images one has nearly all sentences: a sentence of the other image is found', async () => {
    const text = (i: number) => ({
      img_id: `image_${i}`,
      sentf: { mscoco: Array.from({ length: i === 0 ? 20_000 : 1 }, (_, k) => `sentence ${k} of ${i}`) },
    });
    const uneven = await open({ images: 2, text });
    const samples = Uint32Array.of(0, 1, 2, 19_999, 20_000);
    const batch = await assembleOf(uneven, { samples, rates: { swapped: 1, words: 0 } });
    const last = [...wordPiece.encode('sentence 0 of 1', 20)].join();
    for (let s = 0; s < 4; s++) expect(sampleOf(batch, s).tokens.join()).toBe(last);
    expect(sampleOf(batch, 4).tokens.join()).not.toBe(last);
  });
});

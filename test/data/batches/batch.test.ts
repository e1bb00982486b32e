/** Tests the table of a batch's fields, and the functions that are derived from it. */
import { describe, expect, test } from '@jest/globals';
import {
  arraysOf,
  batchFields,
  batchOf,
  fieldNames,
  fieldOf,
  formOf,
  oneSample,
  sampleOfRow,
  type Batch,
  type FieldName,
} from '../../../src/data/batches/batch.js';
import { randomBatch, residentBatches, sliceBatch, smallConfig } from '../../support/batches.js';
import { fakeBatch } from '../../train/support/fakeParts.js';

const config = smallConfig();
const { plain, resident } = residentBatches(
  [randomBatch(config, 1, { samples: 6, firstSample: 4 }), randomBatch(config, 2, { masked: 0 })],
  config.visualFeatDim,
);
const [host, hostUnmasked] = plain;
const [device, deviceUnmasked] = resident;
const kinds: [string, Batch][] = [
  ['features with the batch', host],
  ['features on the device', device],
  ['nothing masked', hostUnmasked],
  ['nothing masked, features on the device', deviceUnmasked],
];

const arraysIn = (batch: Batch) => Object.values(batch).filter((value) => ArrayBuffer.isView(value));

describe.each(kinds)('%s', (_, batch) => {
  test('a batch has exactly the arrays of its fields', () => {
    const ofPretraining = fieldNames.filter((name) => fieldOf(name).only === undefined);
    const names = formOf(batch).resident
      ? ofPretraining
      : ofPretraining.filter((name) => name !== 'residentRows' && name !== 'residentTargets');
    const arrays = arraysOf(batch);
    expect(arrays).toHaveLength(names.length);
    names.forEach((name, i) => expect(arrays[i]).toBe(batch[name]));
    expect(new Set(arraysIn(batch))).toEqual(new Set(arrays));
  });

  test('all samples one by one have the same values as the batch', () => {
    const ones = batch.sampleIds.map((_, s) => oneSample(batch, s));
    for (const [s, one] of ones.entries()) {
      expect(one).toMatchObject({ size: 1, firstSample: batch.firstSample + s, sampleIds: [batch.sampleIds[s]] });
      expect([...one.tokenOffsets]).toEqual([0, one.tokenIds.length]);
      expect([...one.objectOffsets]).toEqual([0, one.objectLabels.length]);
    }
    /** The first row of a sample, from which some fields count. */
    const shiftOf = (name: FieldName, s: number): number => {
      const { pointsTo } = fieldOf(name);
      if (pointsTo === undefined) return 0;
      return (pointsTo === 'language' ? batch.tokenOffsets : batch.objectOffsets)[s];
    };
    for (const name of fieldNames) {
      if (fieldOf(name).rows === 'offsets') continue;
      const values = ones.flatMap((one, s) => Array.from(one[name] ?? [], (value) => value + shiftOf(name, s)));
      expect([name, values]).toEqual([name, [...(batch[name] ?? [])]]);
      for (const one of ones) expect([name, one[name] === undefined]).toEqual([name, batch[name] === undefined]);
    }
  });
});

test('oneSample gives the same as slicing the arrays in the test', () => {
  for (let s = 0; s < host.size; s++) expect(oneSample(host, s)).toEqual(sliceBatch(host, s, 1));
});

test('one sample of a batch is a valid batch', () => {
  const batch = fakeBatch('x', 7);
  expect(oneSample(batch, 1)).toEqual({
    size: 1,
    firstSample: 1,
    sampleIds: ['x/b'],
    tokenIds: Int32Array.of(1, 8, 2),
    tokenOffsets: Int32Array.of(0, 3),
    objectOffsets: Int32Array.of(0, 2),
    visualFeats: Float32Array.of(6, 7, 8, 9, 10, 11),
    visualPos: Float32Array.from({ length: 8 }, (_, i) => (i + 8) / 16),
    maskedTokenRows: Int32Array.of(1),
    maskedTokenLabels: Int32Array.of(8),
    objectLabels: Int32Array.of(2, 3),
    objectConfs: Float32Array.of(0.125, 1),
    attributeLabels: Int32Array.of(1, 0),
    attributeConfs: Float32Array.of(1, 0.5),
    maskedObjectRows: Int32Array.of(1),
    featureTargets: Float32Array.of(7, 8, 9),
    matched: Int32Array.of(0),
    answers: Int32Array.of(-1),
  });
  expect(oneSample(batch, 0)).toMatchObject({
    maskedObjectRows: new Int32Array(),
    featureTargets: new Float32Array(),
  });
});

describe('batchOf', () => {
  const { sampleIds, tokenIds, tokenOffsets, objectOffsets, visualFeats, visualPos } = host;
  const inputs = { sampleIds, tokenIds, tokenOffsets, objectOffsets, visualFeats, visualPos };

  test('with inputs only, there is nothing to predict', () => {
    const objects = objectOffsets[host.size];
    expect(batchOf(inputs)).toEqual({
      ...inputs,
      size: host.size,
      firstSample: 0,
      maskedTokenRows: new Int32Array(0),
      maskedTokenLabels: new Int32Array(0),
      objectLabels: new Int32Array(objects),
      objectConfs: new Float32Array(objects),
      attributeLabels: new Int32Array(objects),
      attributeConfs: new Float32Array(objects),
      maskedObjectRows: new Int32Array(0),
      featureTargets: new Float32Array(0),
      matched: new Int32Array(host.size).fill(1),
      answers: new Int32Array(host.size).fill(-1),
    });
    expect(formOf(batchOf(inputs)).resident).toBe(false);
  });

  test('keeps the given arrays unchanged', () => {
    for (const batch of [host, device, { ...host, firstSample: 9 }]) expect(batchOf(batch)).toEqual(batch);
    expect(batchOf(device).residentRows).toBe(device.residentRows);
    const { answers, maskedTokenRows, maskedTokenLabels } = host;
    const some = { answers, maskedTokenRows, maskedTokenLabels };
    expect(batchOf({ ...inputs, ...some })).toEqual({ ...batchOf(inputs), ...some });
  });
});

test('finds the sample of a row, for each kind of rows', () => {
  const batch = fakeBatch('x', 7);
  const owners = (rows: Parameters<typeof sampleOfRow>[1], count: number) =>
    Array.from({ length: count }, (_, row) => sampleOfRow(batch, rows, row));
  expect(owners('samples', 2)).toEqual(['x/a', 'x/b']);
  expect(owners('language', 6)).toEqual(['x/a', 'x/a', 'x/a', 'x/b', 'x/b', 'x/b']);
  expect(owners('vision', 4)).toEqual(['x/a', 'x/a', 'x/b', 'x/b']);
  expect(owners('maskedTokens', 2)).toEqual(['x/a', 'x/b']);
  expect(owners('maskedObjects', 1)).toEqual(['x/b']);
});

test('every limit of a range is a size of the model or of the table of features', () => {
  const limits = fieldNames.flatMap((name) => fieldOf(name).range?.below ?? []);
  for (const limit of limits) expect(limit === 'tableRows' || limit in config).toBe(true);
  expect(Object.keys(batchFields)).toEqual(fieldNames);
});

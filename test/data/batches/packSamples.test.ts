import { expect, test } from '@jest/globals';
import { packSamples } from '../../../src/data/batches/packSamples.js';

const sample = {
  id: 'one',
  tokenIds: [2, 7, 3],
  features: Float32Array.of(1, 2, 3, 4),
  boxes: Float32Array.of(0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1),
};
const other = {
  id: 'two',
  tokenIds: Int32Array.of(2, 3),
  features: Float32Array.of(5, 6),
  boxes: Float32Array.of(0, 0.25, 1, 1),
  answer: 4,
  matched: false,
};

test('packs the rows of one sample after the other, without masks', () => {
  expect(packSamples([sample, other])).toEqual({
    size: 2,
    firstSample: 0,
    sampleIds: ['one', 'two'],
    tokenIds: Int32Array.of(2, 7, 3, 2, 3),
    tokenOffsets: Int32Array.of(0, 3, 5),
    objectOffsets: Int32Array.of(0, 2, 3),
    visualFeats: Float32Array.of(1, 2, 3, 4, 5, 6),
    visualPos: Float32Array.of(0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1, 0, 0.25, 1, 1),
    maskedTokenRows: new Int32Array(0),
    maskedTokenLabels: new Int32Array(0),
    objectLabels: new Int32Array(3),
    objectConfs: new Float32Array(3),
    attributeLabels: new Int32Array(3),
    attributeConfs: new Float32Array(3),
    maskedObjectRows: new Int32Array(0),
    featureTargets: new Float32Array(0),
    matched: Int32Array.of(1, 0),
    answers: Int32Array.of(-1, 4),
  });
});

test.each([
  [[], /at least one sample/],
  [[{ ...sample, boxes: new Float32Array(0) }], /sample one: 0 numbers of boxes/],
  [[{ ...sample, boxes: new Float32Array(7) }], /sample one: 7 numbers of boxes/],
  [[{ ...sample, features: new Float32Array(3) }], /sample one: 3 numbers of features for 2 objects, 1\.5 each/],
  [[{ ...sample, features: new Float32Array(0) }], /sample one: 0 numbers of features/],
  [[sample, { ...other, features: new Float32Array(3) }], /sample two: 3 numbers of features for 1 objects, 3 each/],
  [[{ ...sample, features: Float32Array.of(1, 2, NaN, 4) }], /sample one: a feature is not finite/],
  [[{ ...other, boxes: Float32Array.of(0, 0, 640, 480) }], /sample two: a box has 640; expected shares .* not pixels/],
  [[{ ...other, boxes: Float32Array.of(0, NaN, 1, 1) }], /sample two: a box has NaN/],
])('refuses what cannot be packed %#', (samples, message) => {
  expect(() => packSamples(samples)).toThrow(
    expect.objectContaining({ code: 'BAD_DATA', message: expect.stringMatching(message) }),
  );
});

import { expect, test } from '@jest/globals';
import { packSamples } from '../../../src/data/batches/packSamples.js';

const sample = (box: number) => ({
  id: 'a',
  tokenIds: [101, 102],
  features: Float32Array.of(1, 2),
  boxes: Float32Array.of(0, 0, box, 1),
});

test('boxes may be outside the picture by rounding, as in files', () => {
  for (const box of [1.0000009, 1.000009, -0.000009])
    expect(packSamples([sample(box)]).visualPos[2]).toBeCloseTo(box, 6);
});

test.each([
  [{ answer: NaN }, 'sample a: its answer is NaN; expected a row of the answer head, or -1 for none'],
  [{ answer: 0.5 }, 'sample a: its answer is 0.5'],
  [{ answer: -2 }, 'sample a: its answer is -2'],
  [{ answer: 2 ** 31 }, 'sample a: its answer is 2147483648'],
  [{ tokenIds: [101, NaN] }, 'sample a: a token id is NaN; expected whole numbers from 0'],
  [{ tokenIds: [101, -1] }, 'sample a: a token id is -1'],
])('a number that is not a label, or not a token, is refused: %o', (given, message) => {
  expect(() => packSamples([{ ...sample(1), ...given }])).toThrow(message);
});

test('boxes that are further outside are refused, and NaN, too', () => {
  for (const box of [1.00002, -0.00002, NaN, 640])
    expect(() => packSamples([sample(box)])).toThrow('sample a: a box has');
});

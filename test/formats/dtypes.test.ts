import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { floatToHalf, halfToFloat } from '../../src/formats/dtypes.js';

test('every half float survives the way to float and back', () => {
  const wrong: number[] = [];
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = halfToFloat(bits);
    const back = floatToHalf(value);
    if (Number.isNaN(value) ? (back & 0x7fff) !== 0x7e00 : back !== bits) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
});

test('rounds to the nearest half, ties to even', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, min: -65519, max: 65519 }), (value) => {
      const bits = floatToHalf(value);
      const error = Math.abs(halfToFloat(bits) - value);
      for (const other of [bits - 1, bits + 1]) {
        const neighbour = halfToFloat(other & 0xffff);
        if (!Number.isFinite(neighbour) || (other & 0x8000) !== (bits & 0x8000)) continue;
        const theirs = Math.abs(neighbour - value);
        expect(error < theirs || (error === theirs && bits % 2 === 0)).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
  expect(floatToHalf(-Infinity)).toBe(0xfc00);
  expect(floatToHalf(2 ** -25)).toBe(0);
  expect(floatToHalf(2 ** -25 * 1.0001)).toBe(1);
});

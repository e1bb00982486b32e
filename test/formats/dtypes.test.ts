import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { floatsToHalves, floatToHalf, halfToFloat } from '../../src/formats/dtypes.js';

test('every half float is the same after conversion to float and back', () => {
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

test('converting many values at a time gives the results of single conversions, and returns the index of the first value that is too large', () => {
  const edges = [0, 2 ** -24, 2 ** -25, 2 ** -14, 1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504].flatMap((x) => [x, -x]);
  // Values of every exponent, and values around the middle between two half floats.
  const words = Uint32Array.from({ length: 40_000 }, (_, i) => (i * 0x9e3779b1) >>> 0);
  const middles = Uint32Array.from(words, (word) => (word & 0xffffe000) | (0x0fff + (word % 3)));
  const random = [words, middles].flatMap(({ buffer }) => [...new Float32Array(buffer)]);
  const values = Float32Array.from([...edges, ...random].filter((value) => Math.abs(value) <= 65504));
  expect(values.length).toBeGreaterThan(20_000);
  const halves = new Uint16Array(values.length);
  expect(floatsToHalves(values, halves)).toBe(-1);
  expect(halves).toEqual(Uint16Array.from(values, floatToHalf));
  for (const large of [65504.1, -1e30, Infinity, NaN]) {
    const spoilt = Float32Array.of(1, 65504, Math.fround(large) === 65504 ? 65505 : large, large);
    expect(floatsToHalves(spoilt, new Uint16Array(4))).toBe(2);
  }
});

import { describe, expect, test } from '@jest/globals';
import { decodeFeatures } from '../../src/io/decodeFeatures.js';
import { floatsToHalves } from '../../src/formats/dtypes.js';

/** A line with base64 of float32 numbers from byte 2 to its last byte but one. */
const lineOf = (values: Float32Array): Buffer =>
  Buffer.from(`xx${Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')}y`);
const decoded = (line: Buffer, target: Float32Array | Uint16Array): boolean =>
  decodeFeatures(line, 2, line.length - 1, target);

/** Numbers like those of a detector. */
const roi = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.max(0, 2 * Math.sin(i * 12.9898) + Math.sin(i * 3.7)));

describe('numbers of a line', () => {
  // Sizes near the limits of groups of base64, of vectors, and of pieces of 3072 numbers.
  test.each([1, 2, 3, 4, 5, 23, 24, 25, 3071, 3072, 3073, 6145, 36 * 2048])('%i float32 numbers', (count) => {
    const values = roi(count);
    const floats = new Float32Array(count);
    expect(decoded(lineOf(values), floats)).toBe(true);
    expect(floats).toEqual(values);
  });

  test('float16 numbers are those that the slow way gives, for numbers of all sizes', () => {
    const count = 100_003;
    // Numbers from 0 to 65504, with both signs.
    const words = Uint32Array.from({ length: count }, (_, i) => i * 11_987 + (i % 3 === 0 ? 2 ** 31 : 0));
    for (let from = 0; from < count; from += 5000) {
      const values = new Float32Array(words.buffer, from * 4, Math.min(5000, count - from));
      const [found, expected] = [new Uint16Array(values.length), new Uint16Array(values.length)];
      const last = floatsToHalves(values, expected);
      expect(decoded(lineOf(values), found)).toBe(last < 0);
      if (last < 0) expect(found).toEqual(expected);
    }
  });
});

describe('is refused', () => {
  const values = roi(500);
  const line = lineOf(values);

  test.each(['-', '_', '*', '=', ' ', '\0', '\x80', 'é'])('the character %j', (character) => {
    for (const at of [2, 300, line.length - 2]) {
      const changed = Buffer.from(line);
      changed[at] = Buffer.from(character, 'latin1')[0];
      // The last character is a "=" already.
      if (changed.equals(line)) continue;
      expect(decoded(changed, new Float32Array(500))).toBe(false);
      expect(decoded(changed, new Uint16Array(500))).toBe(false);
    }
  });

  test('another length', () => {
    for (const count of [0, 1, 499, 501, 5000]) expect(decoded(line, new Float32Array(count))).toBe(false);
    expect(decodeFeatures(line, 2, line.length - 2, new Float32Array(500))).toBe(false);
  });

  test.each([NaN, Infinity, -Infinity, 1.1e6, -1.1e6])('the number %d', (value) => {
    for (const at of [0, 7, 499]) expect(decoded(lineOf(values.with(at, value)), new Float32Array(500))).toBe(false);
  });

  test('a number that float16 does not have', () => {
    const large = lineOf(values.with(31, 65_505));
    expect(decoded(large, new Uint16Array(500))).toBe(false);
    expect(decoded(large, new Float32Array(500))).toBe(true);
  });

  test('numbers of another type', () => {
    const doubles = new Float32Array(Float64Array.from(values, Math.round).buffer);
    expect(decoded(lineOf(doubles), new Float32Array(1000))).toBe(false);
    const halves = new Uint16Array(500);
    floatsToHalves(values, halves);
    expect(decoded(lineOf(new Float32Array(halves.buffer)), new Float32Array(250))).toBe(false);
  });

  test('what is no text, and what is no target', () => {
    expect(() => decodeFeatures(line, 5, 3, new Float32Array(1))).toThrow(/is not a Uint8Array that has these bytes/);
    expect(() => decodeFeatures(line, 0, line.length + 1, new Float32Array(1))).toThrow(/has these bytes/);
    const target = new Float64Array(1) as unknown as Float32Array;
    expect(() => decodeFeatures(line, 0, 4, target)).toThrow(/neither a Float32Array nor a Uint16Array/);
  });
});

import { describe, expect, test } from '@jest/globals';
import { allRows, Engine } from '../../../src/engine/index.js';
import { runChild } from '../lifetime/runChild.js';
import { cpuMultipliesBFloat16 } from '../support/backends.js';
import { Rng } from '../support/rng.js';

const [rows, inWidth, outWidth] = [37, 70, 50];
const bytes = 4 * (rows * inWidth + outWidth * inWidth + rows * outWidth);

function values(seed: number, n: number): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: n }, () => rng.normal());
}

/** Rounds to nearest, ties to even, with arithmetic on the value instead of its bits. */
function toBFloat16(x: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
  const [low, rest] = [Math.floor(x / unit), x / unit - Math.floor(x / unit)];
  return unit * (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low);
}

function product(x: ArrayLike<number>, weight: ArrayLike<number>): Float64Array {
  const y = new Float64Array(rows * outWidth);
  for (let r = 0; r < rows; r++)
    for (let o = 0; o < outWidth; o++)
      for (let i = 0; i < inWidth; i++) y[r * outWidth + o] += x[r * inWidth + i] * weight[o * inWidth + i];
  return y;
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

describe('bfloat16 on the CPU', () => {
  const x = values(1, rows * inWidth);
  const weight = values(2, outWidth * inWidth);

  test('products use the rounded operands and are summed in float32', async () => {
    if (!cpuMultipliesBFloat16) {
      expect(() => Engine.create({ device: 'cpu', precision: 'bfloat16' })).toThrow(
        /no instructions that multiply bfloat16/,
      );
      return;
    }
    await using engine = Engine.create({ device: 'cpu', precision: 'bfloat16', threads: 2 });
    engine.reserve('inputs', bytes);
    const place = (offset: number, shape: number[]) => engine.tensor('inputs', 4 * offset, shape);
    const xs = place(0, [rows, inWidth]);
    const weights = place(rows * inWidth, [outWidth, inWidth]);
    const y = place(rows * inWidth + outWidth * inWidth, [rows, outWidth]);
    await Promise.all([engine.upload(xs, x), engine.upload(weights, weight)]);
    const all = allRows(rows);
    engine.run('linearForward', [all, inWidth, outWidth, xs, weights, null, y]);
    const result = await engine.readFloats(y);
    const rounded = product(Array.from(x, toBFloat16), Array.from(weight, toBFloat16));
    expect(distance(result, rounded)).toBeLessThan(1e-6);
    expect(distance(product(x, weight), rounded)).toBeGreaterThan(1e-3);
  });

  test('without bfloat16 instructions the engine is refused, and the message says what to do', async () => {
    const child = await runChild<{ code: string; message: string }>('bfloat16.mjs');
    expect(child.report).toEqual({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/bfloat16.*AVX-512 BF16 or AMX.*float32/) as unknown as string,
    });
  });
});

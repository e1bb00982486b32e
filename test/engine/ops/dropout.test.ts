/** A dropout mask depends only on (seed, step, op instance, global sample, row in the sample, column). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import { backends } from '../support/backends.js';
import { roundToBf16 } from '../support/bf16.js';
import { reserveArenas } from '../support/memory.js';
import { input, output, update, type CaseDropout, type CaseRows } from '../support/opCase.js';
import { Rng } from '../support/rng.js';
import { runOp } from '../support/runCase.js';
import { recordOf } from '../support/world.js';

interface Keys {
  readonly p: number;
  readonly instance: number;
  readonly seed: number;
  readonly step: number;
}

const keys: Keys = { p: 0.3, instance: 5, seed: 77, step: 12 };

/** (global sample, row in the sample) of each row. */
type RowIds = readonly (readonly [number, number])[];

const samples = (...list: readonly (readonly [sample: number, length: number])[]): RowIds =>
  list.flatMap(([sample, length]) => Array.from({ length }, (_, row) => [sample, row] as const));

function setting({ p, instance, seed, step }: Keys, ids: RowIds): { rows: CaseRows; dropout: CaseDropout } {
  const capacity = ids.length + 3;
  const record = recordOf({ seed, step, samples: 1, languageRows: ids.length });
  const words = new Int32Array(2 * capacity);
  words.set(ids.flat());
  return {
    rows: { set: 'language', capacity, split: 0, record, active: [...ids.keys()] },
    dropout: { p, instance, rowIds: input('rowIds', [capacity, 2], words) },
  };
}

const ones = (n: number): Float32Array => new Float32Array(n).fill(1);

describe.each(backends)('$name', ({ open, precision, dtype }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  /** The mask of a layer norm's dropout, [rows, width]: dropout of ones. */
  async function normMask(at: Keys, ids: RowIds, width = 50): Promise<number[][]> {
    const { rows, dropout } = setting(at, ids);
    const shape = [rows.capacity, width];
    const values = new Float32Array(rows.capacity * width);
    values.fill(1, 0, ids.length * width);
    const z = update('z', shape, values, dtype);
    const [gamma, beta] = [input('gamma', [width], ones(width)), input('beta', [width], ones(width))];
    const [out, stats] = [output('out', shape, dtype), output('stats', [rows.capacity, 2])];
    const run = await runOp(engine, 'layerNormForward', [rows, width, 1, dropout, z, null, gamma, beta, out, stats]);
    expect(run.strays).toEqual([]);
    return ids.map((_, row) => [...run.values(z).subarray(row * width, (row + 1) * width)]);
  }

  /** The same mask from the backward pass: the elements of dResidual that reach dy. */
  async function normMaskBackward(at: Keys, ids: RowIds, width = 50): Promise<number[][]> {
    const { rows, dropout } = setting(at, ids);
    const rng = new Rng(3);
    const n = rows.capacity * width;
    const shape = [rows.capacity, width];
    const [z, dOut] = [input('z', shape, rng.floats(n), dtype), input('dOut', shape, rng.floats(n), dtype)];
    const stats = input('stats', [rows.capacity, 2], ones(2 * rows.capacity));
    const gamma = input('gamma', [width], rng.floats(width));
    const [dResidual, dy] = [output('dResidual', shape, dtype), output('dy', shape, dtype)];
    const [dGamma, dBeta] = [output('dGamma', [width]), output('dBeta', [width])];
    const tensors = [z, stats, gamma, dOut, dResidual, dy, dGamma, dBeta];
    const run = await runOp(engine, 'layerNormBackward', [rows, width, dropout, false, false, ...tensors]);
    const [through, reached] = [run.values(dResidual), run.values(dy)];
    return ids.map((_, row) =>
      Array.from({ length: width }, (_, c) => reached[row * width + c] / through[row * width + c]),
    );
  }

  const heads = 2;
  const longest = 8;

  /** Rows of each sample, in order; sample lengths up to `longest`. */
  function offsetsOf(ids: RowIds): Int32Array {
    const firsts = ids.flatMap(([, row], i) => (row === 0 ? [i] : []));
    return Int32Array.from([...firsts, ids.length]);
  }

  /** The mask of attention, [rows, heads, keys]: with equal scores and one-hot values, component j of the context is M / n. */
  async function attentionMask(at: Keys, ids: RowIds): Promise<number[][][]> {
    const setup = attentionSetting(at, ids);
    const { rows, shape, qkv, hidden, lengthOf } = setup;
    const context = output('context', [rows.capacity, hidden], dtype);
    const logSumExp = output('logSumExp', [rows.capacity, heads]);
    const run = await runOp(engine, 'attentionForward', [...shape, 0, qkv, context, logSumExp, null, null]);
    const values = run.values(context);
    return ids.map((_, row) =>
      Array.from({ length: heads }, (_, head) =>
        Array.from({ length: lengthOf(row) }, (_, j) => lengthOf(row) * values[row * hidden + head * longest + j]),
      ),
    );
  }

  /** The same mask from the backward pass: with one-hot gradients of the context, component i of dV of key j is M[i, j] / n. */
  async function attentionMaskBackward(at: Keys, ids: RowIds): Promise<number[][][]> {
    const { rows, shape, qkv, hidden, lengthOf, placeOf } = attentionSetting(at, ids);
    const gradient = new Float32Array(rows.capacity * hidden);
    const kept = new Float32Array(rows.capacity * heads);
    ids.forEach(([, i], row) => {
      for (let head = 0; head < heads; head++) {
        gradient[row * hidden + head * longest + i] = 1;
        kept[row * heads + head] = Math.log(lengthOf(row));
      }
    });
    const dContext = input('dContext', [rows.capacity, hidden], gradient, dtype);
    const logSumExp = input('logSumExp', [rows.capacity, heads], kept);
    const dQkv = output('dQkv', [rows.capacity, 3 * hidden], dtype);
    const run = await runOp(engine, 'attentionBackward', [...shape, qkv, logSumExp, dContext, dQkv]);
    const values = run.values(dQkv);
    return ids.map(([, i], row) =>
      Array.from({ length: heads }, (_, head) =>
        Array.from({ length: lengthOf(row) }, (_, j) => lengthOf(row) * values[placeOf(row - i + j, head) + i]),
      ),
    );
  }

  function attentionSetting(at: Keys, ids: RowIds) {
    const { rows, dropout } = setting(at, ids);
    const hidden = heads * longest;
    const offsets = offsetsOf(ids);
    const lengthOf = (row: number): number => {
      const s = offsets.findLastIndex((first) => first <= row);
      return offsets[s + 1] - offsets[s];
    };
    /** The number of mask values of a row. */
    const placeOf = (row: number, head: number): number => row * 3 * hidden + 2 * hidden + head * longest;
    const values = new Float32Array(rows.capacity * 3 * hidden);
    ids.forEach(([, j], row) => {
      for (let head = 0; head < heads; head++) values[placeOf(row, head) + j] = 1;
    });
    const record = recordOf({ seed: at.seed, step: at.step, samples: offsets.length - 1, languageRows: ids.length });
    const shape = [
      { ...rows, record },
      offsets.length - 1,
      heads,
      longest,
      input('offsets', [offsets.length], offsets),
      null,
      longest,
      0,
      dropout,
    ];
    return { rows, shape, hidden, lengthOf, placeOf, qkv: input('qkv', [rows.capacity, 3 * hidden], values, dtype) };
  }

  const kinds = [
    { name: 'layer norm', forward: normMask, backward: normMaskBackward },
    { name: 'attention', forward: attentionMask, backward: attentionMaskBackward },
  ];

  /** Rounds to a precision that every back end has. Kept elements are 1 / (1 - p) = 1.4286. */
  const step = precision === 'bfloat16' ? 0.1 : 1e-4;
  const rounded = (mask: unknown): number[] =>
    (mask as number[][][]).flat(2).map((factor) => Number((Math.round(factor / step) * step).toFixed(4)));

  describe.each(kinds)('$name', ({ forward, backward }) => {
    const ids = samples([40, 8], [41, 3], [42, 6]);

    test('backward uses the mask of forward', async () => {
      const mask = rounded(await forward(keys, ids));
      expect(new Set(mask)).toEqual(new Set([0, Number((Math.round(1 / 0.7 / step) * step).toFixed(4))]));
      expect(rounded(await backward(keys, ids))).toEqual(mask);
    });

    test('the mask of a sample does not depend on the place of its rows or on the other samples', async () => {
      const whole: readonly unknown[] = await forward(keys, ids);
      const parts: readonly unknown[] = await forward(keys, samples([99, 5], [42, 6], [7, 2], [40, 8]));
      expect(parts.slice(5, 11)).toEqual(whole.slice(11));
      expect(parts.slice(13)).toEqual(whole.slice(0, 8));
    });

    test.each([
      ['op instance', { ...keys, instance: 6 }, ids],
      ['step', { ...keys, step: 13 }, ids],
      ['seed', { ...keys, seed: 78 }, ids],
      ['samples', keys, samples([50, 8], [51, 3], [52, 6])],
    ])('another %s gives another mask', async (_, other, otherIds) => {
      const [a, b] = [rounded(await forward(keys, ids)), rounded(await forward(other, otherIds))];
      const changed = a.filter((factor, i) => factor !== b[i]).length;
      // Independent masks differ in 2 p (1 - p) of their elements.
      const [mean, deviation] = [0.42 * a.length, Math.sqrt(0.42 * 0.58 * a.length)];
      expect(Math.abs(changed - mean)).toBeLessThan(5 * deviation);
    });

    test('rows have different masks, and so have columns', async () => {
      const mask = (await forward(keys, ids)) as unknown[][];
      const rows = mask.slice(0, 8).map((row) => JSON.stringify(row));
      expect(new Set(rows).size).toBe(8);
    });
  });

  test('attention: heads have different masks', async () => {
    const mask = await attentionMask(keys, samples([1, 8], [2, 8]));
    const byHead = [0, 1].map((head) => JSON.stringify(mask.map((row) => row[head])));
    expect(byHead[0]).not.toBe(byHead[1]);
  });

  test.each([0.01, 0.1, 0.5, 0.9])('with p = %p, elements are dropped with that probability', async (p) => {
    const mask = (await normMask({ ...keys, p }, samples([0, 100], [1, 60]), 130)).flat();
    const droppedCount = mask.filter((factor) => factor === 0).length;
    expect(Math.abs(droppedCount - p * mask.length)).toBeLessThan(5 * Math.sqrt(p * (1 - p) * mask.length));
    const kept = mask.filter((factor) => factor !== 0);
    const factor = Math.fround(1 / (1 - Math.fround(p)));
    expect(new Set(kept)).toEqual(new Set([dtype === 'bf16' ? roundToBf16(factor) : factor]));
  });

  test('columns are independent: neighbours are dropped together as often as with independent draws', async () => {
    const mask = (await normMask({ ...keys, p: 0.5 }, samples([0, 100]), 130)).flat();
    for (const lag of [1, 2, 3, 4, 8, 130]) {
      const pairs = mask.length - lag;
      const both = mask.filter((factor, i) => i < pairs && factor === 0 && mask[i + lag] === 0).length;
      expect(Math.abs(both - pairs / 4)).toBeLessThan(5 * Math.sqrt((pairs * 3) / 16));
    }
  });
});

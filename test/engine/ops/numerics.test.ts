/** Cases near the limits of float32: the longest samples, large values, long sums. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { attentionLimits, type Engine } from '../../../src/engine/index.js';
import { backends, tolerances } from '../support/backends.js';
import { distance } from '../support/finiteDifference.js';
import { reserveArenas } from '../support/memory.js';
import { input, intOutput, output, scratch, update } from '../support/opCase.js';
import { attentionBackward, attentionForward, readersOf } from '../support/reference/attention.js';
import { gelu, geluDerivative } from '../support/reference/elementwise.js';
import { layerNormForward } from '../support/reference/layerNorm.js';
import { crossEntropyForward, sigmoidForward } from '../support/reference/losses.js';
import { gradNorm } from '../support/reference/optimizer.js';
import { Rng } from '../support/rng.js';
import { runOp } from '../support/runCase.js';
import { recordOf } from '../support/world.js';

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const allOf = (capacity: number) => ({
  set: 'all' as const,
  capacity,
  split: 0,
  record: null,
  active: range(capacity),
});

describe.each(backends)('$name', ({ open, dtype, precision }) => {
  /** The best possible error with the precision of the products, and the rounding of one number. */
  const least = precision === 'bfloat16' ? tolerances.bfloat16 : 0;
  const rounding = dtype === 'bf16' ? 2 ** -8 : 1e-6;
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  describe('attention', () => {
    /** One sample of `length` rows; scores grow with `deviation`. */
    function setting(length: number, deviation: number, p: number) {
      const [heads, headDim] = [2, 16];
      const hidden = heads * headDim;
      const record = recordOf({ samples: 1, languageRows: length, seed: 3, step: 4 });
      const rows = { set: 'language' as const, capacity: length, split: 0, record, active: range(length) };
      const rowIds = input('rowIds', [length, 2], Int32Array.from(range(length).flatMap((row) => [7, row])));
      const offsets = input('offsets', [2], Int32Array.of(0, length));
      const dropout = { p, instance: 1, rowIds };
      const s = {
        capacity: length,
        heads,
        headDim,
        readers: readersOf(1, offsets.values, null, 0),
        mask: p > 0 ? { p, instance: 1, seed: 3, step: 4, rowIds: rowIds.values } : null,
      };
      const qkv = input('qkv', [length, 3 * hidden], new Rng(1).floats(length * 3 * hidden, deviation), dtype);
      return { s, length, hidden, qkv, shape: [rows, 1, heads, headDim, offsets, null, length, 0, dropout] };
    }

    test.each([
      ['the longest sample', Infinity, 1, 0.2, 1e-5],
      ['scores that saturate the softmax', 40, 12, 0, 1e-4],
      ['scores beyond the range of exp', 20, 60, 0, 1e-3],
    ])('%s', async (_, rows, deviation, p, wanted32) => {
      const tolerance = Math.max(wanted32, least);
      const most = attentionLimits[engine.device].rows;
      const { s, length, hidden, qkv, shape } = setting(Math.min(rows, most), deviation, p);
      const context = output('context', [length, hidden], dtype);
      const logSumExp = output('logSumExp', [length, s.heads]);
      const forward = await runOp(engine, 'attentionForward', [...shape, 0, qkv, context, logSumExp, null, null]);
      const wanted = attentionForward(s, qkv.values);
      expect(distance(forward.values(context), wanted.context)).toBeLessThan(tolerance);
      expect(distance(forward.values(logSumExp), wanted.logSumExp)).toBeLessThan(tolerance);

      const kept = input('logSumExp', [length, s.heads], Float32Array.from(forward.values(logSumExp)));
      const dContext = input('dContext', [length, hidden], new Rng(2).floats(length * hidden), dtype);
      const dQkv = output('dQkv', [length, 3 * hidden], dtype);
      const backward = await runOp(engine, 'attentionBackward', [...shape, qkv, kept, dContext, dQkv]);
      const gradient = attentionBackward(s, qkv.values, dContext.values).dQkv;
      expect(distance(backward.values(dQkv), gradient)).toBeLessThan(tolerance);
      expect([...forward.strays, ...backward.strays]).toEqual([]);
    });
  });

  test('gelu and its derivative stay accurate for large inputs', async () => {
    const values = Float32Array.of(
      -1e30,
      -1e4,
      -100,
      -20,
      -9,
      -6,
      -5,
      -1e-3,
      -1e-30,
      0,
      1e-30,
      1e-3,
      5,
      9,
      100,
      1e4,
      1e30,
    );
    const x = input('x', [1, values.length], values, dtype);
    const y = output('y', [1, values.length], dtype);
    const run = await runOp(engine, 'geluForward', [allOf(1), values.length, x, y]);
    const dy = input('dy', [1, values.length], new Float32Array(values.length).fill(1), dtype);
    const dx = output('dx', [1, values.length], dtype);
    const back = await runOp(engine, 'geluBackward', [allOf(1), values.length, x, dy, dx]);
    x.values.forEach((value, i) => {
      const scale = Math.max(Math.abs(value), 1e-30);
      expect(Math.abs(run.values(y)[i] - gelu(value)) / scale).toBeLessThan(rounding);
      expect(Math.abs(back.values(dx)[i] - geluDerivative(value))).toBeLessThan(rounding);
    });
  });

  test('layer norm of rows far from zero', async () => {
    const [capacity, width] = [30, 130];
    const s = { active: range(capacity), capacity, width, epsilon: 1e-12 };
    const z = update('z', [capacity, width], new Rng(4).floats(capacity * width, 1, 1000), dtype);
    const ones = input('gamma', [width], new Float32Array(width).fill(1));
    const zeros = input('beta', [width], new Float32Array(width));
    const [out, stats] = [output('out', [capacity, width], dtype), output('stats', [capacity, 2])];
    const dropout = { p: 0, instance: 0, rowIds: null };
    const args = [allOf(capacity), width, 1e-12, dropout, z, null, ones, zeros, out, stats];
    const run = await runOp(engine, 'layerNormForward', args);
    const wanted = layerNormForward(s, z.values, ones.values, zeros.values);
    // If values are near 1000, the rows themselves have a rounding error of 3e-5.
    expect(distance(run.values(out), wanted.out)).toBeLessThan(Math.max(1e-4, least));
  });

  test('cross-entropy of logits beyond the range of exp', async () => {
    const [capacity, classes] = [40, 33];
    const s = { active: range(capacity), capacity, width: classes };
    const logits = input('logits', [capacity, classes], new Rng(5).floats(capacity * classes, 400), dtype);
    const labels = input('labels', [capacity], new Rng(6).ints(capacity, 0, classes - 1));
    const [logSumExp, rowLoss] = [output('logSumExp', [capacity]), output('rowLoss', [capacity])];
    const tally = update('tally', [4], new Float32Array(4));
    const tensors = [logits, null, labels, logSumExp, intOutput('predictions', [capacity]), rowLoss, tally];
    const run = await runOp(engine, 'softmaxCrossEntropyForward', [allOf(capacity), classes, classes, ...tensors]);
    const wanted = crossEntropyForward(s, logits.values, labels.values, null);
    expect(distance(run.values(rowLoss), wanted.rowLoss)).toBeLessThan(1e-6);
    expect(run.values(tally)[0] / wanted.lossSum).toBeCloseTo(1, 6);
  });

  test('sigmoid cross-entropy of large logits: the loss of a right logit and its gradient keep their digits', async () => {
    const values = Float32Array.of(-300, -90, -20, -6, -1e-3, 0, 1e-3, 6, 20, 90, 300);
    const classes = values.length;
    // In row 0, the targets agree with the logits; in row 1, they are the opposite.
    const capacity = 2;
    const right = range(classes).filter((c) => values[c] > 0);
    const ids = Int32Array.from([...right, ...range(classes).filter((c) => !right.includes(c))]);
    const offsets = Int32Array.of(0, right.length, classes);
    const scores = new Float32Array(classes).fill(1);
    const soft = { offsets, ids, scores };
    const s = { active: range(capacity), capacity, width: classes };
    const both = Float32Array.from([...values, ...values]);
    const targets = [
      classes,
      input('targetOffsets', [3], offsets),
      input('targetIds', [classes], ids),
      input('targetScores', [classes], scores),
    ];
    const record = recordOf({ languageRows: capacity, lossScale: [1] });
    const rows = { ...allOf(capacity), set: 'language' as const, record };
    const logits = update('logits', [capacity, classes], both, dtype);
    const [rowScore, rowLoss] = [output('rowScore', [capacity]), output('rowLoss', [capacity])];
    const tally = update('tally', [4], new Float32Array(4));
    const kept = [intOutput('predictions', [capacity]), rowScore, rowLoss, tally];
    const forward = await runOp(engine, 'sigmoidCrossEntropyForward', [
      rows,
      classes,
      classes,
      logits,
      ...targets,
      ...kept,
    ]);
    const wanted = sigmoidForward(s, logits.values, soft);
    for (const row of s.active) expect(forward.values(rowLoss)[row] / wanted.rowLoss[row]).toBeCloseTo(1, 5);
    expect([...forward.values(rowScore)]).toEqual([1, 0]);

    const backward = await runOp(engine, 'sigmoidCrossEntropyBackward', [
      rows,
      classes,
      classes,
      0,
      logits,
      ...targets,
    ]);
    backward.values(logits).forEach((gradient, i) => {
      const t = i < classes === values[i % classes] > 0 ? 1 : 0;
      // σ(l) - t in the form that does not cancel: σ(l), or -σ(-l).
      const exact = t === 0 ? 1 / (1 + Math.exp(-logits.values[i])) : -1 / (1 + Math.exp(logits.values[i]));
      expect(Math.abs(gradient - exact)).toBeLessThanOrEqual(4 * rounding * Math.abs(exact) + 1e-30);
    });
  });

  test.each([1e-15, 1, 1e15])('the norm of a million gradients of size %p', async (size) => {
    const chunks = range(15).map((i) => [65536 * i, 65536] as const);
    const gradients = input('gradients', [15 * 65536], new Rng(7).floats(15 * 65536, size));
    const norm = output('norm', [2]);
    const table = input('chunks', [15, 2], Int32Array.from(chunks.flat()));
    const sums = input('sums', [1], new Float32Array(1));
    const run = await runOp(engine, 'gradNorm', [15, table, gradients, 1, sums, scratch('partial', [15]), norm]);
    expect(run.values(norm)[0] / gradNorm(chunks, gradients.values)).toBeCloseTo(1, 5);
    expect(run.values(norm)[1]).toBe(0);
  });
});

import {
  input,
  intOutput,
  output,
  update,
  type CaseRows,
  type CaseTensor,
  type Expectation,
  type FloatType,
  type OpCase,
} from '../opCase.js';
import * as reference from '../reference/losses.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, rowValues, widthFor, type WorldSize } from '../world.js';

/** Widths of a real model: attributes, object classes, features. */
const wideWidths = [400, 1600, 2048] as const;

function setting(rng: Rng, withRecord: boolean, size?: WorldSize, wide: readonly number[] = wideWidths) {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(withRecord ? anySet.filter((set) => set !== 'all') : anySet));
  const width = world.size === 'wide' ? rng.pick(wide) : widthFor(rng, rows, world);
  const s: reference.LossShape = { active: rows.active, capacity: rows.capacity, width };
  const slot = rng.int(0, 7);
  return { rows, s, shape: [rows.capacity, width], slot, scale: Math.fround(world.lossScale[slot]) };
}

/** The value in columns that are no classes. It would change every sum that includes it. */
const behindClasses = 1000;

function classification(rng: Rng, withRecord: boolean, size?: WorldSize, dtype?: FloatType) {
  const { slot, scale, ...at } = setting(rng, withRecord, size, [...wideWidths, 30522]);
  const { rows } = at;
  const classes = at.s.width;
  const s: reference.LossShape = { ...at.s, classes, width: classes + rng.pick([0, 0, 1, 6, 40]) };
  const shape = [rows.capacity, s.width];
  // With whole numbers, several logits can be equal; the arg-max is then the first of them.
  const ties = rng.chance(0.2);
  const values = rowValues(rng, rows, s.width, rng.pick([0.5, 3])).map((x, i) =>
    i % s.width >= classes ? behindClasses : ties ? Math.round(x) : x,
  );
  const labels = Int32Array.from({ length: rows.capacity }, () =>
    rng.chance(0.2) ? rng.pick([-1, classes, -2147483648, 2147483647]) : rng.int(0, classes - 1),
  );
  const confs = Float32Array.from({ length: rows.capacity }, () => rng.uniform());
  return {
    rows,
    s,
    slot,
    scale,
    logits: (role: typeof input) => role('logits', shape, values, dtype),
    labels: input('labels', [rows.capacity], labels),
    weights: rng.chance(0.5) ? input('weights', [rows.capacity], confs) : null,
  };
}

/** Up to four targets for each row, in lists that are a little longer. Some classes occur twice, and some are outside. */
function softTargets(rng: Rng, rows: CaseRows, classes: number): CaseTensor[] {
  const counts = Array.from({ length: rows.capacity }, (_, row) => (rows.active.includes(row) ? rng.int(0, 4) : 0));
  const offsets = new Int32Array(rows.capacity + 1);
  counts.forEach((count, row) => (offsets[row + 1] = offsets[row] + count));
  const entries = Math.max(1, offsets[rows.capacity] + rng.int(0, 5));
  const ids = Int32Array.from({ length: entries }, () =>
    rng.chance(0.1) ? rng.pick([-1, classes, -2147483648, 2147483647]) : rng.int(0, classes - 1),
  );
  const scores = Float32Array.from({ length: entries }, () => rng.pick([0, 0.3, 0.6, 0.9, 1, rng.uniform()]));
  return [
    input('targetOffsets', [rows.capacity + 1], offsets),
    input('targetIds', [entries], ids),
    input('targetScores', [entries], scores),
  ];
}

function multiLabel(rng: Rng, withRecord: boolean, size?: WorldSize, dtype?: FloatType) {
  const { labels: _labels, weights: _weights, ...at } = classification(rng, withRecord, size, dtype);
  const [offsets, ids, scores] = softTargets(rng, at.rows, at.s.classes!);
  const soft: reference.SoftTargets = { offsets: offsets.values, ids: ids.values, scores: scores.values };
  return { ...at, soft, targets: [ids.shape[0], offsets, ids, scores] };
}

/** Sums are added to the tally; its last word does not change. */
function tallyAfter(before: CaseTensor, sums: readonly number[]): Float64Array {
  return Float64Array.from(before.values, (value, i) => value + (sums[i] ?? 0));
}

const tallyOf = (rng: Rng): CaseTensor =>
  update('tally', [4], Float32Array.of(10 * rng.uniform(), rng.int(0, 50), rng.int(0, 50), rng.normal()));

export const lossOps = {
  softmaxCrossEntropyForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, logits: logitsAs, labels, weights } = classification(rng, false, size, dtype);
    const logits = logitsAs(input);
    const logSumExp = output('logSumExp', [rows.capacity]);
    const predictions = intOutput('predictions', [rows.capacity]);
    const rowLoss = output('rowLoss', [rows.capacity]);
    const tally = tallyOf(rng);
    const wanted = reference.crossEntropyForward(s, logits.values, labels.values, weights?.values ?? null);
    const sums = [wanted.lossSum, wanted.correct, wanted.labelled];
    const expected = new Map<CaseTensor, Expectation>([
      [logSumExp, { values: wanted.logSumExp, rows }],
      [predictions, { values: wanted.predictions, rows, exact: true }],
      [rowLoss, { values: wanted.rowLoss, rows }],
      [tally, { values: tallyAfter(tally, sums), blocks: [0, 1, 2, 3].map((i) => ({ begin: i, end: i + 1 })) }],
    ]);
    return {
      args: [rows, s.classes!, s.width, logits, weights, labels, logSumExp, predictions, rowLoss, tally],
      expected,
    };
  },

  softmaxCrossEntropyBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, slot, scale, logits: logitsAs, labels, weights } = classification(rng, true, size, dtype);
    const logits = logitsAs(update);
    const kept = reference.crossEntropyForward(s, logits.values, labels.values, null).logSumExp;
    const logSumExp = input('logSumExp', [rows.capacity], Float32Array.from(kept));
    const confs = weights?.values ?? null;
    const values = reference.crossEntropyBackward(s, logits.values, labels.values, confs, scale);
    const expected = new Map([[logits, { values, rows }]]);
    return { args: [rows, s.classes!, s.width, slot, logits, weights, labels, logSumExp], expected };
  },

  sigmoidCrossEntropyForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, logits: logitsAs, soft, targets } = multiLabel(rng, false, size, dtype);
    const logits = logitsAs(input);
    const predictions = intOutput('predictions', [rows.capacity]);
    const rowScore = output('rowScore', [rows.capacity]);
    const rowLoss = output('rowLoss', [rows.capacity]);
    const tally = tallyOf(rng);
    const wanted = reference.sigmoidForward(s, logits.values, soft);
    const sum = (values: Float64Array): number => values.reduce((total, x) => total + x, 0);
    const sums = [sum(wanted.rowLoss), sum(wanted.rowScore), rows.active.length];
    const expected = new Map<CaseTensor, Expectation>([
      [predictions, { values: wanted.predictions, rows, exact: true }],
      [rowScore, { values: wanted.rowScore, rows }],
      [rowLoss, { values: wanted.rowLoss, rows }],
      [tally, { values: tallyAfter(tally, sums), blocks: [0, 1, 2, 3].map((i) => ({ begin: i, end: i + 1 })) }],
    ]);
    return { args: [rows, s.classes!, s.width, logits, ...targets, predictions, rowScore, rowLoss, tally], expected };
  },

  sigmoidCrossEntropyBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, slot, scale, logits: logitsAs, soft, targets } = multiLabel(rng, true, size, dtype);
    const logits = logitsAs(update);
    const values = reference.sigmoidBackward(s, logits.values, soft, scale);
    return {
      args: [rows, s.classes!, s.width, slot, logits, ...targets],
      expected: new Map([[logits, { values, rows }]]),
    };
  },

  smoothL1Forward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, shape } = setting(rng, false, size);
    const prediction = input('prediction', shape, rowValues(rng, rows, s.width, rng.pick([0.3, 2])), dtype);
    const wanted = input('target', shape, rowValues(rng, rows, s.width));
    const rowLoss = output('rowLoss', [rows.capacity]);
    const tally = tallyOf(rng);
    const values = reference.smoothL1Forward(s, prediction.values, wanted.values);
    const sum = values.reduce((total, loss) => total + loss, 0);
    const expected = new Map<CaseTensor, Expectation>([
      [rowLoss, { values, rows }],
      [tally, { values: tallyAfter(tally, [sum]), blocks: [0, 1, 2, 3].map((i) => ({ begin: i, end: i + 1 })) }],
    ]);
    return { args: [rows, s.width, prediction, wanted, rowLoss, tally], expected };
  },

  smoothL1Backward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, slot, scale, shape } = setting(rng, true, size);
    const prediction = update('prediction', shape, rowValues(rng, rows, s.width, rng.pick([0.3, 2])), dtype);
    const wanted = input('target', shape, rowValues(rng, rows, s.width));
    const values = reference.smoothL1Backward(s, prediction.values, wanted.values, scale);
    return { args: [rows, s.width, slot, prediction, wanted], expected: new Map([[prediction, { values, rows }]]) };
  },
};

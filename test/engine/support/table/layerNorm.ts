import type { CaseDropout, CaseRows, CaseTensor, Expectation, FloatType, OpCase } from '../opCase.js';
import { added, input, normOf, output, target, update } from '../opCase.js';
import type { MaskKeys } from '../reference/dropout.js';
import { dropped } from '../reference/embeddings.js';
import { layerNormBackward, layerNormForward, type NormShape } from '../reference/layerNorm.js';
import type { Rng } from '../rng.js';
import { anySet, makeDropout, makeWorld, rowValues, widthFor, type World, type WorldSize } from '../world.js';

/** Usually BERT's epsilon. One or two columns have almost no variance and need a larger epsilon. */
export function epsilonFor(rng: Rng, width: number): number {
  return width <= 2 ? 0.5 : rng.pick([1e-12, 1e-12, 1e-5]);
}

export function maskKeys(world: World, dropout: CaseDropout): MaskKeys | null {
  const { p, instance, rowIds } = dropout;
  return p > 0 && rowIds ? { p, instance, rowIds: rowIds.values, seed: world.seed, step: world.step } : null;
}

/** The norm to which errors of a gradient through layer norm are compared; with one or two columns, the terms of the gradient cancel. */
export function cancelled(width: number, terms: ArrayLike<number>): { scale?: number } {
  return width <= 2 ? { scale: normOf(terms) } : {};
}

export function normShape(rng: Rng, rows: CaseRows, world: World): NormShape {
  const width = widthFor(rng, rows, world);
  return { active: rows.active, capacity: rows.capacity, width, epsilon: epsilonFor(rng, width) };
}

export const gammaOf = (rng: Rng, width: number): CaseTensor => input('gamma', [width], rng.floats(width, 0.3, 1));
export const betaOf = (rng: Rng, width: number): CaseTensor => input('beta', [width], rng.floats(width, 0.3));

function setting(rng: Rng, size?: WorldSize) {
  const world = makeWorld(rng, { size });
  const rows = world.rows(rng.pick(anySet));
  const s = normShape(rng, rows, world);
  const dropout = makeDropout(rng, world, rows);
  return { rows, s, dropout, mask: maskKeys(world, dropout), shape: [rows.capacity, s.width] };
}

export const layerNormOps = {
  layerNormForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, dropout, mask, shape } = setting(rng, size);
    const [deviation, mean] = [rng.pick([0.2, 1, 10]), rng.pick([0, 2])];
    const z = update('z', shape, rowValues(rng, rows, s.width, deviation, mean), dtype);
    const residual = rng.chance(0.6) ? input('residual', shape, rowValues(rng, rows, s.width, 1, mean), dtype) : null;
    const [gamma, beta] = [gammaOf(rng, s.width), betaOf(rng, s.width)];
    const [out, stats] = [output('out', shape, dtype), output('stats', [rows.capacity, 2])];
    const sum = dropped(s, z.values, mask).map((value, i) => value + (residual ? residual.values[i] : 0));
    const result = layerNormForward(s, sum, gamma.values, beta.values);
    const expected = new Map<CaseTensor, Expectation>([
      [z, { values: sum, rows, exact: !residual && !mask }],
      [out, { values: result.out, rows }],
      [
        stats,
        {
          values: result.stats,
          rows,
          blocks: [
            { begin: 0, end: 1, scale: normOf(sum) / s.width },
            { begin: 1, end: 2 },
          ],
        },
      ],
    ]);
    return { args: [rows, s.width, s.epsilon, dropout, z, residual, gamma, beta, out, stats], expected };
  },

  layerNormBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s, dropout, mask, shape } = setting(rng, size);
    const z = input('z', shape, rowValues(rng, rows, s.width, rng.pick([0.2, 1, 10]), rng.pick([0, 2])), dtype);
    const gamma = gammaOf(rng, s.width);
    const dOut = input('dOut', shape, rowValues(rng, rows, s.width), dtype);
    const kept = layerNormForward(s, z.values, gamma.values, new Float64Array(s.width)).stats;
    const stats = input('stats', [rows.capacity, 2], Float32Array.from(kept));
    const hasResidual = rng.chance(0.7);
    const accumulateResidual = hasResidual && rng.chance(0.5);
    const accumulate = rng.chance(0.5);
    const before = (on: boolean): Float32Array | null => (on ? rng.floats(s.width) : null);
    const dResidual = hasResidual
      ? target('dResidual', shape, accumulateResidual ? rowValues(rng, rows, s.width) : null, dtype)
      : null;
    const dy = output('dy', shape, dtype);
    const dGamma = target('dGamma', [s.width], before(accumulate));
    const dBeta = target('dBeta', [s.width], before(accumulate));
    const g = layerNormBackward(s, z.values, gamma.values, dOut.values);
    const scale = cancelled(s.width, g.terms);
    const expected = new Map<CaseTensor, Expectation>([
      [dy, { values: dropped(s, g.dz, mask), rows, ...scale }],
      [dGamma, { values: added(dGamma, g.dGamma), ...cancelled(s.width, dOut.values) }],
      [dBeta, { values: added(dBeta, g.dBeta) }],
    ]);
    if (dResidual) expected.set(dResidual, { values: added(dResidual, g.dz), rows, ...scale });
    const args = [rows, s.width, dropout, accumulateResidual, accumulate, z, stats, gamma, dOut, dResidual, dy];
    return { args: [...args, dGamma, dBeta], expected };
  },
};

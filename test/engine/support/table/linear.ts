import { added, input, target, type CaseTensor, type FloatType, type Expectation, type OpCase } from '../opCase.js';
import { linearBackwardInput, linearBackwardWeight, linearForward, type LinearShape } from '../reference/linear.js';
import type { Rng } from '../rng.js';
import { anySet, makeWorld, rowValues, widths, type WorldSize } from '../world.js';

/** Input features stay f32. */
const xType = (rng: Rng, dtype: FloatType): FloatType => (dtype === 'bf16' && rng.chance(0.3) ? 'f32' : dtype);

function shapeOf(rng: Rng, size?: WorldSize) {
  const rows = makeWorld(rng, { size }).rows(rng.pick(anySet));
  const s: LinearShape = { active: rows.active, capacity: rows.capacity, in: rng.pick(widths), out: rng.pick(widths) };
  return { rows, s };
}

export const linearOps = {
  linearForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s } = shapeOf(rng, size);
    const x = input('x', [s.capacity, s.in], rowValues(rng, rows, s.in), xType(rng, dtype));
    const weight = input('weight', [s.out, s.in], rng.floats(s.out * s.in, 0.3));
    const bias = rng.chance(0.7) ? input('bias', [s.out], rng.floats(s.out)) : null;
    const y = target('y', [s.capacity, s.out], null, dtype);
    const values = linearForward(s, x.values, weight.values, bias?.values ?? null);
    return {
      args: [rows, s.in, s.out, x, weight, bias, y],
      expected: new Map([[y, { values, rows, anyInactive: true }]]),
    };
  },

  linearBackwardInput(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s } = shapeOf(rng, size);
    const accumulate = rng.chance(0.5);
    const dy = input('dy', [s.capacity, s.out], rowValues(rng, rows, s.out), dtype);
    const weight = input('weight', [s.out, s.in], rng.floats(s.out * s.in, 0.3));
    const dx = target('dx', [s.capacity, s.in], accumulate ? rowValues(rng, rows, s.in) : null, dtype);
    const values = added(dx, linearBackwardInput(s, dy.values, weight.values));
    return { args: [rows, s.in, s.out, accumulate, dy, weight, dx], expected: new Map([[dx, { values, rows }]]) };
  },

  linearBackwardWeight(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const { rows, s } = shapeOf(rng, size);
    const [accumulateWeight, accumulateBias] = [rng.chance(0.5), rng.chance(0.5)];
    const x = input('x', [s.capacity, s.in], rowValues(rng, rows, s.in), xType(rng, dtype));
    const dy = input('dy', [s.capacity, s.out], rowValues(rng, rows, s.out), dtype);
    const elements = s.out * s.in;
    const dWeight = target('dWeight', [s.out, s.in], accumulateWeight ? rng.floats(elements) : null);
    const dBias = rng.chance(0.7) ? target('dBias', [s.out], accumulateBias ? rng.floats(s.out) : null) : null;
    const gradients = linearBackwardWeight(s, x.values, dy.values);
    const expected = new Map<CaseTensor, Expectation>([[dWeight, { values: added(dWeight, gradients.dWeight) }]]);
    if (dBias) expected.set(dBias, { values: added(dBias, gradients.dBias) });
    return { args: [rows, s.in, s.out, accumulateWeight, accumulateBias, x, dy, dWeight, dBias], expected };
  },

  /** The values of the weight stay; `packing.test.ts` tests products with it. */
  packWeight(rng: Rng): OpCase {
    const [out, width] = [64 * rng.int(1, 4), 32 * rng.int(1, 6)];
    const values = rng.floats(out * width, 0.3);
    const weight = target('weight', [out, width], values);
    return { args: [width, out, weight], expected: new Map([[weight, { values }]]) };
  },
};

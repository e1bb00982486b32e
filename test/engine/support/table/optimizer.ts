import {
  input,
  output,
  scratch,
  update,
  type CaseTensor,
  type Expectation,
  type FloatType,
  type OpCase,
} from '../opCase.js';
import * as reference from '../reference/optimizer.js';
import { fillNormal } from '../reference/normal.js';
import type { Rng } from '../rng.js';
import { makeWorld, type WorldSize } from '../world.js';

/** Chunks in a part of an arena. They may be adjacent, have gaps between them, or be empty. */
function setting(rng: Rng) {
  const chunks: [number, number][] = [];
  let end = 0;
  for (let i = rng.pick([1, 2, 7, 40]); i > 0; i--) {
    const begin = end + (rng.chance(0.5) ? 0 : rng.int(1, 9));
    const length = rng.pick([0, 1, 3, 16, 33, 257, 5000]);
    chunks.push([begin, length]);
    end = begin + length;
  }
  const size = end + rng.int(1, 20);
  const table = input('chunks', [chunks.length, 2], Int32Array.from(chunks.flat()));
  return { chunks, size, table };
}

export const optimizerOps = {
  gradNorm(rng: Rng): OpCase {
    const { chunks, size, table } = setting(rng);
    const values = rng.floats(size, rng.pick([1e-6, 1, 100]));
    const inside = (i: number): boolean => chunks.some(([begin, length]) => i >= begin && i < begin + length);
    // The numbers between the chunks do not belong to gradients.
    values.forEach((_, i) => (values[i] = inside(i) ? values[i] : NaN));
    const broken = rng.chance(0.15) && values.findIndex((_, i) => inside(i)) >= 0;
    if (broken) values[values.findIndex((_, i) => inside(i))] = rng.pick([NaN, Infinity, -Infinity]);
    const gradients = input('gradients', [size], values);
    const sums = input('sums', [rng.pick([1, 24, 700])], new Float32Array(700));
    const loss = rng.chance(0.15) ? rng.pick([NaN, Infinity, -Infinity]) : rng.normal();
    sums.values[rng.int(0, sums.shape[0] - 1)] = loss;
    const norm = output('norm', [2]);
    const wanted = reference.gradNorm(chunks, values);
    const blocks = [0, 1].map((i) => ({ begin: i, end: i + 1 }));
    const expected = new Map<CaseTensor, Expectation>([
      [norm, { values: [wanted, Number.isFinite(wanted) && Number.isFinite(loss) ? 0 : 1], blocks }],
    ]);
    const tensors = [sums.shape[0], sums, scratch('partial', [chunks.length]), norm];
    return { args: [chunks.length, table, gradients, ...tensors], expected };
  },

  adamUpdate(rng: Rng): OpCase {
    const { chunks, size, table } = setting(rng);
    const world = makeWorld(rng);
    const notFinite = rng.chance(0.15);
    const gradients = input('gradients', [size], rng.floats(size));
    const norm = Math.fround(notFinite ? rng.pick([NaN, Infinity]) : 10 * rng.uniform());
    const keys: reference.AdamKeys = {
      beta1: rng.pick([0, 0.9]),
      beta2: rng.pick([0.9, 0.999]),
      epsilon: 1e-6,
      weightDecay: rng.pick([0, 0.01, 0.5]),
      maxNorm: rng.pick([0, 1, 5]),
      learningRate: Math.fround(world.learningRate),
      norm,
    };
    const begun = rng.chance(0.4) ? 0 : 1; // moments are zero before the first step
    const tensors = {
      parameters: update('parameters', [size], rng.floats(size)),
      firstMoment: update('firstMoment', [size], rng.floats(size, begun)),
      secondMoment: update('secondMoment', [size], rng.floats(size, begun).map(Math.abs)),
    };
    const { parameters, firstMoment, secondMoment } = tensors;
    const before = {
      parameters: Float64Array.from(parameters.values),
      firstMoment: Float64Array.from(firstMoment.values),
      secondMoment: Float64Array.from(secondMoment.values),
    };
    const after = notFinite ? before : reference.adamUpdate(chunks, keys, gradients.values, before);
    const expected = new Map<CaseTensor, Expectation>(
      (['parameters', 'firstMoment', 'secondMoment'] as const).map((name) => [
        tensors[name],
        { values: after[name], exact: notFinite, untouched: outside(chunks, size) },
      ]),
    );
    const { beta1, beta2, epsilon, weightDecay, maxNorm } = keys;
    const flags = input('norm', [2], Float32Array.of(norm, notFinite ? 1 : 0));
    const options = [chunks.length, beta1, beta2, epsilon, weightDecay, maxNorm, world.record, table];
    return { args: [...options, parameters, gradients, firstMoment, secondMoment, flags], expected };
  },

  fill(rng: Rng, _size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    const value = rng.pick([0, 1, -2.5, 0.1]);
    const x = output('x', [rng.pick([1, 2, 7, 64, 130, 100000])], dtype);
    const values = new Float64Array(x.shape[0]).fill(Math.fround(value));
    return { args: [value, x], expected: new Map([[x, { values, exact: true }]]) };
  },

  fillNormal(rng: Rng): OpCase {
    const [deviation, seed, stream] = [rng.pick([0.02, 1, 3]), rng.uint32(), rng.uint32()];
    const x = output('x', [rng.pick([1, 2, 7, 64, 129, 5000])]);
    const values = fillNormal(x.shape[0], deviation, seed, stream);
    return { args: [deviation, seed, stream, x], expected: new Map([[x, { values }]]) };
  },
};

/** Elements that belong to no chunk. */
function outside(chunks: reference.Chunks, size: number): number[] {
  const free = new Array<boolean>(size).fill(true);
  for (const [begin, length] of chunks) free.fill(false, begin, begin + length);
  return free.flatMap((isFree, i) => (isFree ? [i] : []));
}

import {
  input,
  normOf,
  output,
  update,
  type CaseArgument,
  type CaseTensor,
  type Expectation,
  type FloatType,
  type OpCase,
} from '../opCase.js';
import { attentionBackward, attentionForward, probabilityGradients, readersOf } from '../reference/attention.js';
import type { AttentionResult, AttentionShape, Query } from '../reference/attention.js';
import type { Rng } from '../rng.js';
import { makeDropout, makeWorld, rowValues, type World, type WorldSize } from '../world.js';
import { maskKeys } from './layerNorm.js';

/** The kinds of cases for attention. */
export interface AttentionKind {
  readonly size: WorldSize;
  /** Most rows of a sample in a stream. */
  readonly longest: number;
  readonly headDims: readonly number[];
}

const kinds: readonly AttentionKind[] = [
  { size: 'small', longest: 3, headDims: [1, 8, 24, 32, 64, 100, 128] },
  { size: 'small', longest: 12, headDims: [8, 16, 20, 32, 64] },
  { size: 'small', longest: 20, headDims: [8, 16, 64] },
  { size: 'small', longest: 40, headDims: [16, 64] },
  { size: 'small', longest: 70, headDims: [5, 8, 32] },
  { size: 'small', longest: 128, headDims: [4, 16] },
  { size: 'large', longest: 8, headDims: [8, 16] },
  { size: 'single', longest: 1, headDims: [8, 128] },
  { size: 'empty', longest: 1, headDims: [8, 64] },
  { size: 'wide', longest: 4, headDims: [64, 128] },
];

// Long samples, large heads, or many samples, but only one of these at a time, because the reference is slow.
const kindFor = (rng: Rng, size?: WorldSize): AttentionKind =>
  rng.pick(kinds.filter((k) => size === undefined || k.size === size));

function setting(rng: Rng, kind: AttentionKind, dtype: FloatType) {
  const { longest, headDims } = kind;
  const heads = rng.int(1, 3);
  const headDim = rng.pick(headDims);
  const world = makeWorld(rng, { shortest: rng.chance(0.3) ? 0 : 1, longest, size: kind.size });
  const stream = rng.pick(['language', 'vision', 'stacked', 'stacked'] as const);
  const rows = world.rows(stream);
  const offsetsA = stream === 'vision' ? world.objectOffsets : world.tokenOffsets;
  const offsetsB = stream === 'stacked' ? world.objectOffsets : null;
  const dropout = makeDropout(rng, world, rows);
  const s: AttentionShape = {
    capacity: rows.capacity,
    heads,
    headDim,
    readers: readersOf(activeSamples(world), offsetsA.values, offsetsB?.values ?? null, rows.split),
    mask: maskKeys(world, dropout),
  };
  const announced = (): number => rng.pick([longest, Math.ceil(longest / 16) * 16]);
  const shape: CaseArgument[] = [
    ...[rows, world.sampleCapacity, heads, headDim, offsetsA, offsetsB],
    ...[announced(), offsetsB ? announced() : 0, dropout],
  ];
  const hidden = heads * headDim;
  const qkv = input('qkv', [rows.capacity, 3 * hidden], rowValues(rng, rows, 3 * hidden, rng.pick([0.3, 1])), dtype);
  return { rows, s, shape, qkv, hidden, samples: world.sampleCapacity };
}

const activeSamples = (world: World): number => world.rows('samples').active.length;

/**
 * The maps [samples, heads, side, side] of one direction, written over the values before the call; longer samples are
 * cut.
 */
function mapsAfter(
  before: CaseTensor,
  { queries }: AttentionResult,
  { direction, rowOf }: { readonly direction: number; readonly rowOf: (query: Query) => readonly number[] },
): Float64Array {
  const [, heads, side] = before.shape;
  const values = Float64Array.from(before.values);
  for (const query of queries) {
    const { reader, head, row } = query;
    const i = row - reader.queryBegin;
    if (reader.direction !== direction || i >= side) continue;
    const first = ((reader.sample * heads + head) * side + i) * side;
    values.set(rowOf(query).slice(0, side), first);
  }
  return values;
}

/** The tensors of the maps of a call, and their values after the call. Only stacked rows have a second direction. */
function makeMaps(
  rng: Rng,
  { rows, s, samples }: ReturnType<typeof setting>,
  side: number,
  after: (map: CaseTensor, direction: number) => Float64Array,
): {
  readonly maps: readonly (CaseTensor | null)[];
  readonly expected: readonly (readonly [CaseTensor, Expectation])[];
} {
  const expected: [CaseTensor, Expectation][] = [];
  const maps = [0, 1].map((direction) => {
    if (side === 0 || (direction === 1 && rows.set !== 'stacked')) return null;
    const shape = [samples, s.heads, side, side];
    const map = update(`map ${direction}`, shape, rng.floats(samples * s.heads * side * side));
    expected.push([map, { values: after(map, direction) }]);
    return map;
  });
  return { maps, expected };
}

/** Random calls of one kind. */
export const attentionCases = {
  attentionForward(rng: Rng, kind: AttentionKind, dtype: FloatType): OpCase {
    const made = setting(rng, kind, dtype);
    const { rows, s, shape, qkv, hidden } = made;
    const context = output('context', [rows.capacity, hidden], dtype);
    const logSumExp = output('logSumExp', [rows.capacity, s.heads]);
    const result = attentionForward(s, qkv.values);
    const side = rng.chance(0.4) ? rng.int(1, 12) : 0;
    const { maps, expected } = makeMaps(rng, made, side, (map, direction) =>
      mapsAfter(map, result, { direction, rowOf: ({ probabilities }) => probabilities }),
    );
    return {
      args: [...shape, side, qkv, context, logSumExp, ...maps],
      expected: new Map<CaseTensor, Expectation>([
        [context, { values: result.context, rows }],
        [logSumExp, { values: result.logSumExp, rows, scale: Math.sqrt(rows.active.length * s.heads) }],
        ...expected,
      ]),
    };
  },

  attentionBackward(rng: Rng, kind: AttentionKind, dtype: FloatType): OpCase {
    const { rows, s, shape, qkv, hidden } = setting(rng, kind, dtype);
    const kept = attentionForward(s, qkv.values).logSumExp;
    const logSumExp = input('logSumExp', [rows.capacity, s.heads], Float32Array.from(kept));
    const dContext = input('dContext', [rows.capacity, hidden], rowValues(rng, rows, hidden), dtype);
    const dQkv = output('dQkv', [rows.capacity, 3 * hidden], dtype);
    const { dQkv: values, terms } = attentionBackward(s, qkv.values, dContext.values);
    // A query that reads only one key has no gradient: dS is P (dP - Σ P dP).
    const blocks = [0, 1, 2].map((part) => {
      const [begin, end] = [part * hidden, (part + 1) * hidden];
      return {
        begin,
        end,
        scale: 0.1 * normOf(terms.filter((_, i) => i % (3 * hidden) >= begin && i % (3 * hidden) < end)),
      };
    });
    return { args: [...shape, qkv, logSumExp, dContext, dQkv], expected: new Map([[dQkv, { values, rows, blocks }]]) };
  },

  attentionMapGradient(rng: Rng, kind: AttentionKind, dtype: FloatType): OpCase {
    const made = setting(rng, kind, dtype);
    const { rows, s, shape, qkv, hidden } = made;
    const dContext = input('dContext', [rows.capacity, hidden], rowValues(rng, rows, hidden), dtype);
    const result = attentionForward(s, qkv.values);
    const rowOf = (query: Query): number[] => probabilityGradients(s, qkv.values, dContext.values, query);
    const side = rng.chance(0.5) ? kind.longest : rng.int(1, 12);
    const { maps, expected } = makeMaps(rng, made, side, (map, direction) =>
      mapsAfter(map, result, { direction, rowOf }),
    );
    return { args: [...shape, side, qkv, dContext, ...maps], expected: new Map(expected) };
  },
};

export const attentionOps = {
  attentionForward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    return attentionCases.attentionForward(rng, kindFor(rng, size), dtype);
  },
  attentionBackward(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    return attentionCases.attentionBackward(rng, kindFor(rng, size), dtype);
  },
  attentionMapGradient(rng: Rng, size?: WorldSize, dtype: FloatType = 'f32'): OpCase {
    return attentionCases.attentionMapGradient(rng, kindFor(rng, size), dtype);
  },
};

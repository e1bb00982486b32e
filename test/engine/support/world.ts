/** The rows of an op: a batch of samples with its step record, in the form in which the program stages it. */
import { stepRecordWords, writeStepRecord, type RowSet, type StepRecord } from '../../../src/engine/index.js';
import { input, type FloatType, type CaseDropout, type CaseRows, type CaseTensor, type OpCase } from './opCase.js';
import type { Rng } from './rng.js';

/** The row ids of objects begin here within their sample (src/model/inputs.ts). */
const firstObjectRowId = 0x10000;

/** Makes a random call. `size` determines the number of rows, for ops on rows; `dtype` is the type of activations. */
export type MakeCase = (rng: Rng, size?: WorldSize, dtype?: FloatType) => OpCase;

export interface World {
  readonly size: WorldSize;
  readonly step: number;
  readonly seed: number;
  readonly learningRate: number;
  readonly lossScale: readonly number[];
  readonly record: CaseTensor;
  readonly sampleCapacity: number;
  readonly tokenOffsets: CaseTensor;
  readonly objectOffsets: CaseTensor;
  rows(set: RowSet): CaseRows;
  /** (global sample, row in the sample) of each row; zeros for inactive rows. */
  rowIds(rows: CaseRows): CaseTensor;
}

export interface WorldOptions {
  /** Fewest and most rows of one sample in one stream. */
  readonly shortest?: number;
  readonly longest?: number;
  readonly size?: WorldSize | undefined;
}

export const worldSizes = ['small', 'large', 'single', 'empty', 'wide'] as const;
export type WorldSize = (typeof worldSizes)[number];

/**
 * `small`: a few samples. `large`: enough rows for every thread to get some. `single`: one row of each kind. `empty`: no
 * row is active. `wide`: a few rows, as wide as those of a real model. Capacities are the counts or a little more.
 */
export function makeWorld(rng: Rng, options: WorldOptions = {}): World {
  const { shortest = 1, longest = 12, size = rng.chance(0.7) ? 'small' : rng.pick(worldSizes) } = options;
  const samples = { small: rng.int(1, 5), large: rng.int(30, 36), single: 1, empty: 0, wide: rng.int(1, 2) }[size];
  const lengths = (): number[] =>
    Array.from({ length: samples }, () =>
      size === 'single' ? 1 : rng.int(size === 'large' ? longest - 4 : shortest, size === 'wide' ? 4 : longest),
    );
  const sum = (list: readonly number[]): number => list.reduce((total, n) => total + n, 0);
  const tokens = lengths();
  const objects = lengths();
  const counts = {
    samples,
    language: sum(tokens),
    vision: sum(objects),
    maskedTokens: size === 'small' ? rng.int(0, sum(tokens)) : sum(tokens),
    maskedObjects: size === 'small' ? rng.int(0, sum(objects)) : sum(objects),
  };
  const capacityOf = (count: number): number => Math.max(1, count + (rng.chance(0.3) ? 0 : rng.int(0, 9)));
  const capacities = {
    samples: capacityOf(counts.samples),
    language: capacityOf(counts.language),
    vision: capacityOf(counts.vision),
    maskedTokens: capacityOf(counts.maskedTokens),
    maskedObjects: capacityOf(counts.maskedObjects),
  };
  const keys = {
    step: rng.uint32(),
    seed: rng.uint32(),
    learningRate: 0.2 * rng.uniform(),
    lossScale: Array.from({ length: 8 }, () => 0.1 + rng.uniform()),
  };
  const record = recordOf({
    ...keys,
    samples,
    languageRows: counts.language,
    visionRows: counts.vision,
    maskedTokens: counts.maskedTokens,
    maskedObjects: counts.maskedObjects,
  });
  const firstSample = rng.int(0, 1000);
  // After the last sample the offsets do not change, as in a staged batch.
  const offsets = (name: string, list: readonly number[]): CaseTensor => {
    const values = new Int32Array(capacities.samples + 1).fill(sum(list));
    list.forEach((_, s) => (values[s] = sum(list.slice(0, s))));
    return input(name, [capacities.samples + 1], values);
  };

  function rows(set: RowSet): CaseRows {
    const range = (begin: number, count: number): number[] => Array.from({ length: count }, (_, i) => begin + i);
    if (set === 'all') {
      const capacity = Math.max(1, counts.language);
      return { set, capacity, split: 0, record: null, active: range(0, capacity) };
    }
    if (set === 'stacked') {
      const split = capacities.language;
      const active = [...range(0, counts.language), ...range(split, counts.vision)];
      return { set, capacity: split + capacities.vision, split, record, active };
    }
    return { set, capacity: capacities[set], split: 0, record, active: range(0, counts[set]) };
  }

  function rowIds({ set, capacity, split, active }: CaseRows): CaseTensor {
    const values = new Int32Array(2 * capacity);
    const put = (row: number, sample: number, rowInSample: number): void => {
      values[2 * row] = firstSample + sample;
      values[2 * row + 1] = rowInSample;
    };
    const putStream = (base: number, list: readonly number[], firstId: number): void => {
      let row = base;
      list.forEach((length, s) => {
        for (let i = 0; i < length; i++) put(row++, s, firstId + i);
      });
    };
    if (set === 'language' || set === 'stacked') putStream(0, tokens, 0);
    if (set === 'vision' || set === 'stacked') putStream(split, objects, firstObjectRowId);
    if (set === 'all' || set === 'samples' || set === 'maskedTokens' || set === 'maskedObjects')
      for (const row of active) put(row, row >> 2, row & 3);
    return input('rowIds', [capacity, 2], values);
  }

  return {
    size,
    ...keys,
    record,
    sampleCapacity: capacities.samples,
    tokenOffsets: offsets('tokenOffsets', tokens),
    objectOffsets: offsets('objectOffsets', objects),
    rows,
    rowIds,
  };
}

const blankRecord: StepRecord = {
  step: 0,
  seed: 0,
  learningRate: 0,
  samples: 0,
  languageRows: 0,
  visionRows: 0,
  maskedTokens: 0,
  maskedObjects: 0,
  lossScale: [],
};

/** A step record in the layout of the device. */
export function recordOf(fields: Partial<StepRecord>): CaseTensor {
  const words = new Int32Array(stepRecordWords);
  writeStepRecord({ ...blankRecord, ...fields }, words.buffer, 0);
  return input('record', [stepRecordWords], words);
}

/** Row sets for ops that need only rows. */
export const anySet: readonly RowSet[] = [
  'all',
  'samples',
  'language',
  'vision',
  'stacked',
  'stacked',
  'maskedTokens',
  'maskedObjects',
];

/** Random values in the active rows, and zeros in all other rows, as every op leaves them. */
export function rowValues(rng: Rng, rows: CaseRows, width: number, deviation = 1, mean = 0): Float32Array {
  const values = new Float32Array(rows.capacity * width);
  for (const row of rows.active) values.set(rng.floats(width, deviation, mean), row * width);
  return values;
}

/** A dropout of the rows: with probability `p` if given, otherwise off in half of the cases. */
export function makeDropout(
  rng: Rng,
  world: World,
  rows: CaseRows,
  p = rng.chance(0.5) ? 0 : rng.pick([0.1, 0.5, 0.9]),
): CaseDropout {
  if (p === 0 || !rows.record) return { p: 0, instance: rng.int(0, 99), rowIds: null };
  return { p, instance: rng.uint32(), rowIds: world.rowIds(rows) };
}

/** Widths around the vector lengths of kernels. */
export const widths = [1, 2, 7, 8, 16, 33, 64, 96, 130] as const;

/** Hidden sizes: 768 as in the base model, sizes at which kernels use other code, and an odd size. */
const wideWidths = [256, 520, 768, 768, 1024, 1032, 1001] as const;

/** A width. It is large if there are many rows, so that there is work for several threads. */
export function widthFor(rng: Rng, rows: CaseRows, { size }: World): number {
  if (size === 'wide') return rng.pick(wideWidths);
  return rows.active.length > 200 ? rng.pick([64, 96, 130]) : rng.pick(widths);
}

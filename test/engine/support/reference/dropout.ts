/**
 * Dropout masks: an element is kept and multiplied by 1/(1-p) if its word of Philox 4x32-10 is at least p · 2³².
 * Counter: (column / 4, row in the sample, global sample, op instance); key: (seed, step); word: column mod 4.
 */
import { philox4x32 } from '../../../../src/data/random.js';
import { floor, fround } from '../fastMath.js';

export interface MaskKeys {
  readonly p: number;
  readonly instance: number;
  readonly seed: number;
  readonly step: number;
  /** (global sample, row in the sample) of each row. */
  readonly rowIds: ArrayLike<number>;
}

/** Factors of columns 4i to 4i + 3 by (row, i): computed once. */
const blocks = new WeakMap<MaskKeys, Map<number, readonly number[]>>();

function maskBlock(keys: MaskKeys, row: number, group: number): readonly number[] {
  const { instance, seed, step, rowIds } = keys;
  const p = fround(keys.p); // ops use p as float32
  const words = new Uint32Array(4);
  philox4x32([group, rowIds[2 * row + 1], rowIds[2 * row], instance], [seed, step], words);
  return Array.from(words, (word) => (word >= floor(p * 4294967296) ? 1 / (1 - p) : 0));
}

/** The factor of one element; 1 without dropout. */
export function maskAt(keys: MaskKeys | null, row: number, column: number): number {
  if (!keys) return 1;
  let known = blocks.get(keys);
  if (!known) blocks.set(keys, (known = new Map()));
  const group = floor(column / 4);
  const place = row * 65536 + group;
  let block = known.get(place);
  if (!block) known.set(place, (block = maskBlock(keys, row, group)));
  return block[column % 4];
}

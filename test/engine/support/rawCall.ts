/**
 * Calls as lists of numbers, in the form that the addon reads, with the meaning of each number. With them, tests can
 * make wrong calls.
 */
import { arenaNames } from '../../../src/engine/tensor.js';
import { rowSets } from '../../../src/engine/stepRecord.js';
import type { Layout } from './memory.js';
import { isRows, isTensor, type CaseArgument, type CaseTensor } from './opCase.js';

export type RawKind =
  | 'arena'
  | 'offset'
  | 'elements'
  | 'dtype'
  | 'rowSet'
  | 'capacity'
  | 'split'
  | 'probability'
  | 'word'
  | 'flag'
  | 'number';

export interface RawArgument {
  readonly value: number;
  readonly kind: RawKind;
  /** The tensor to which the number belongs. */
  readonly tensor: CaseTensor | null;
  /** Position of the argument in the op's struct. */
  readonly place: number;
}

export function rawArguments(args: readonly CaseArgument[], { places }: Layout): RawArgument[] {
  return args.flatMap((arg, place): RawArgument[] => {
    const one = (value: number, kind: RawKind, tensor: CaseTensor | null = null) => ({ value, kind, tensor, place });
    const ofTensor = (tensor: CaseTensor | null): RawArgument[] => {
      const at = tensor && places.get(tensor);
      return [
        one(at ? arenaNames.indexOf(at.arena) : -1, 'arena', tensor),
        one(at ? 4 * at.offset : 0, 'offset', tensor),
        one(tensor ? tensor.values.length : 0, 'elements', tensor),
        one({ f32: 0, i32: 0, bf16: 1, f16: 2 }[tensor?.dtype ?? 'f32'], 'dtype', tensor),
      ];
    };
    if (typeof arg === 'number') return [one(arg, 'number')];
    if (typeof arg === 'boolean') return [one(Number(arg), 'flag')];
    if (arg === null || isTensor(arg)) return ofTensor(arg);
    if (isRows(arg))
      return [
        ...ofTensor(arg.record),
        one(rowSets.indexOf(arg.set), 'rowSet'),
        one(arg.capacity, 'capacity'),
        one(arg.split, 'split'),
      ];
    return [one(arg.p, 'probability'), one(arg.instance, 'word'), ...ofTensor(arg.rowIds)];
  });
}

import { rowSets, type Rows } from './stepRecord.js';
import { arenaNames, elements, type DType, type Tensor } from './tensor.js';

/**
 * Dropout of one op. `p` is its probability, and `instance` is the number of the op in the step. `rowIds` has the
 * sample of each row and the row in this sample: [rows, 2] i32.
 */
export interface Dropout {
  readonly p: number;
  readonly instance: number;
  readonly rowIds: Tensor | null;
}

/** Numbers of the dtypes (native/engine/arenas.h). f32 and i32 have the same number: both are words of 4 bytes. */
const dtypeCodes: Readonly<Record<DType, number>> = { f32: 0, i32: 0, bf16: 1, f16: 2 };

export type OpArgument = number | boolean | Tensor | Rows | Dropout | null;

/**
 * Writes an op's arguments as the numbers that the addon reads (native/engine/arg_reader.h). Calls `see` for each
 * tensor.
 * @returns how many numbers it wrote
 */
export function encodeCall(args: readonly OpArgument[], out: Float64Array, see: (tensor: Tensor) => void): number {
  let n = 0;
  const tensor = (t: Tensor | null): void => {
    if (t) see(t);
    out[n++] = t ? arenaNames.indexOf(t.arena) : -1;
    out[n++] = t ? t.offset : 0;
    out[n++] = t ? elements(t.shape) : 0;
    out[n++] = t ? dtypeCodes[t.dtype] : 0;
  };
  for (const arg of args) {
    if (typeof arg === 'number') out[n++] = arg;
    else if (typeof arg === 'boolean') out[n++] = arg ? 1 : 0;
    else if (arg === null || 'arena' in arg) tensor(arg);
    else if ('set' in arg) {
      tensor(arg.record);
      out[n++] = rowSets.indexOf(arg.set);
      out[n++] = arg.capacity;
      out[n++] = arg.split;
    } else {
      out[n++] = arg.p;
      out[n++] = arg.instance;
      tensor(arg.rowIds);
    }
  }
  return n;
}

import type { OpName } from './native.js';

/** Calls and time of one op since profiling began. */
export interface OpProfile {
  readonly op: OpName;
  readonly calls: number;
  /** Measured on the engine's thread. It does not include the time of waiting and of enqueuing. */
  readonly milliseconds: number;
}

/** Makes the profiles of the ops that ran, from the calls and seconds of each op of the table. */
export function opProfiles(opNames: readonly string[], cells: Float64Array): OpProfile[] {
  return opNames
    .map((op, i) => ({ op: op as OpName, calls: cells[2 * i], milliseconds: 1000 * cells[2 * i + 1] }))
    .filter(({ calls }) => calls > 0);
}

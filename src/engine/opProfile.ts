import type { OpName } from './native.js';

/** What one op came to since profiling began. */
export interface OpProfile {
  readonly op: OpName;
  readonly calls: number;
  /** On the engine's own clock: no waiting, no enqueuing. */
  readonly milliseconds: number;
}

/** From calls and seconds of each op of the table: those that ran. */
export function opProfiles(opNames: readonly string[], cells: Float64Array): OpProfile[] {
  return opNames
    .map((op, i) => ({ op: op as OpName, calls: cells[2 * i], milliseconds: 1000 * cells[2 * i + 1] }))
    .filter(({ calls }) => calls > 0);
}

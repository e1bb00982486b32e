import type { OpName, OpProfile } from '../engine/index.js';
import type { OpWork } from './opWork.js';
import type { Rates } from './rates.js';
import type { Times } from './statistics.js';

/** The speed of a peer (PyTorch) on the same work. */
export interface PeerReport {
  readonly name: string;
  readonly samplesPerSecond: number;
  readonly milliseconds: Times;
  /** Our speed divided by the peer's speed, both from median times. Above 1, ours is faster. */
  readonly ratio: number;
}

/** The speed of some work, and the least time that the work can take at the machine's rates. */
export interface Speed {
  /** GFLOP/s of matrix products; absent for ops without them. */
  readonly gflops?: number;
  readonly gigabytesPerSecond: number;
  /** The larger of two times: FLOPs divided by the product rate, and bytes divided by the copy rate. */
  readonly floorMilliseconds: number;
  /** `floorMilliseconds` divided by the time. Above 1 if operands stay in the cache, which is faster than copies in memory. */
  readonly floorShare: number;
}

export interface OpReport extends Speed {
  readonly op: OpName;
  readonly calls: number;
  readonly milliseconds: number;
  /** Share of the whole time. */
  readonly share: number;
}

export function speedOf({ flops, bytes }: OpWork, milliseconds: number, rates: Rates): Speed {
  const floorMilliseconds = Math.max(flops / rates.sgemmGflops, bytes / rates.copyGigabytesPerSecond) / 1e6;
  return {
    ...(flops > 0 && { gflops: flops / milliseconds / 1e6 }),
    gigabytesPerSecond: bytes / milliseconds / 1e6,
    floorMilliseconds,
    floorShare: floorMilliseconds / milliseconds,
  };
}

/** The mean of several profiles of the same work. The op that takes longest comes first. */
export function opReports(
  profiles: readonly (readonly OpProfile[])[],
  wholeMilliseconds: number,
  workOf: (op: OpName) => OpWork,
  rates: Rates,
): OpReport[] {
  const sums = new Map<OpName, { calls: number; milliseconds: number }>();
  for (const { op, calls, milliseconds } of profiles.flat()) {
    const sum = sums.get(op) ?? { calls: 0, milliseconds: 0 };
    sums.set(op, { calls: sum.calls + calls, milliseconds: sum.milliseconds + milliseconds });
  }
  return [...sums]
    .map(([op, sum]) => {
      const milliseconds = sum.milliseconds / profiles.length;
      return {
        op,
        calls: sum.calls / profiles.length,
        milliseconds,
        share: milliseconds / wholeMilliseconds,
        ...speedOf(workOf(op), milliseconds, rates),
      };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

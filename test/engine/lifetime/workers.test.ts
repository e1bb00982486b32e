import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

interface Report {
  readonly rounds: number;
  /** Number of workers that began to work, and of right results of the main thread's engine. */
  readonly busy: number;
  readonly mine: number;
  readonly ended: boolean;
  readonly threads: number;
  /** MiB. */
  readonly grown: number;
}

describe('engines in worker threads', () => {
  // `alone`: no other thread has loaded the addon, so Node unloads it between the workers.
  test.each(['main', 'alone'])('can be terminated while they work (%s)', async (where) => {
    // Node never releases some memory of a worker. A leaked engine would use more than that in every round.
    const hardly = 40;
    const child = await runChild<Report>('workers.mjs', ['14', '4', `${hardly}`, where]);
    expect(child).toMatchObject(endedWell);
    const { rounds, busy, mine, ended, threads, grown } = child.report;
    expect({ ended, threads }).toEqual({ ended: true, threads: 0 });
    expect(busy).toBeGreaterThan(rounds);
    expect(mine).toBe(where === 'main' ? rounds : 0);
    expect(grown).toBeLessThanOrEqual(hardly);
  });
});

import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

interface Report {
  readonly rounds: number;
  /** Workers that came as far as their work, and results that the main thread's engine had right. */
  readonly busy: number;
  readonly mine: number;
  readonly ended: boolean;
  readonly threads: number;
  /** MiB. */
  readonly grown: number;
}

describe('engines in worker threads', () => {
  // `alone`: no other thread has the addon, so that Node lets go of it between the workers.
  test.each(['main', 'alone'])('terminated while they work (%s)', async (where) => {
    // A worker of Node takes some memory for good; a leaked engine would take more than that in every round.
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

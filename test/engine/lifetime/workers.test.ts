import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

interface Report {
  /** Workers that came as far as their work, and results that the main thread's engine had right. */
  readonly busy: number;
  readonly mine: number;
  readonly ended: boolean;
  readonly threads: number;
  /** MiB after each round. */
  readonly residentAt: readonly number[];
}

describe('engines in worker threads', () => {
  // `alone`: no other thread has the addon, so that Node lets go of it between the workers.
  test.each(['main', 'alone'])('terminated in the middle of whatever they do (%s)', async (where) => {
    const rounds = 14;
    const child = await runChild<Report>('workers.mjs', [String(rounds), where]);
    expect(child).toMatchObject(endedWell);
    const { busy, mine, ended, threads, residentAt } = child.report;
    expect({ ended, threads }).toEqual({ ended: true, threads: 0 });
    expect(busy).toBeGreaterThan(rounds);
    expect(mine).toBe(where === 'main' ? rounds : 0);
    // A worker of Node takes some memory for good; a leaked engine would take more than that in every round.
    expect(residentAt[rounds - 1] - residentAt[3]).toBeLessThan(40);
  });
});

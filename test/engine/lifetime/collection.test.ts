import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

interface Report {
  readonly threads: number;
  readonly ended: boolean;
  /** MiB. */
  readonly kept: number;
  readonly first: boolean;
  readonly made: number;
  readonly value: number;
  readonly collections: number;
}

const collect = async (mode: string): Promise<Report> => {
  const child = await runChild<Report>('collect.mjs', [mode], { node: ['--expose-gc'] });
  expect(child).toMatchObject(endedWell);
  return child.report;
};

describe('an engine that is never disposed', () => {
  test('is collected, and its memory and threads are released', async () => {
    const { threads, ended, kept } = await collect('dropped');
    // 40 engines with 33 MiB each, one after the other.
    expect(threads).toBeGreaterThan(0);
    expect(ended).toBe(true);
    expect(kept).toBeLessThan(100);
  });

  test('is collected although work is queued, and the work is not done', async () => {
    expect(await collect('queued')).toEqual({ ended: true, first: true });
  });

  test('is not collected while a promise is pending', async () => {
    const { value, collections, ended } = await collect('pending');
    expect(value).toBe(43);
    expect(collections).toBeGreaterThan(5);
    expect(ended).toBe(true);
  });

  test('is collected without a call of gc(), because the collector counts its memory', async () => {
    const { made, threads } = await collect('unasked');
    expect(threads).toBeLessThan(made / 2);
  });
});

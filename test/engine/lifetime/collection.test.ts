import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

interface Report {
  readonly threads: number;
  readonly ended: boolean;
  /** MiB. */
  readonly resident: number;
  readonly kept: number;
  readonly seconds: number;
  readonly first: boolean;
  readonly value: number;
  readonly collections: number;
}

const collect = async (mode: string): Promise<Report> => {
  const child = await runChild<Report>('collect.mjs', [mode], { node: ['--expose-gc'] });
  expect(child).toMatchObject(endedWell);
  return child.report;
};

describe('an engine that nobody disposes of', () => {
  test('is collected with its memory and its threads', async () => {
    const { threads, ended, resident, kept } = await collect('dropped');
    // Of 40 engines with 33 MiB and two threads each, never more than a few are there.
    expect(threads).toBeGreaterThan(0);
    expect(threads).toBeLessThan(12);
    expect(resident).toBeLessThan(200);
    expect(ended).toBe(true);
    expect(kept).toBeLessThan(30);
  });

  test('is collected though work is queued, without that being done', async () => {
    const { ended, seconds, first } = await collect('queued');
    expect({ ended, first }).toEqual({ ended: true, first: true });
    expect(seconds).toBeLessThan(8); // of 20
  });

  test('is not collected while a promise waits', async () => {
    const { value, collections, ended } = await collect('pending');
    expect(value).toBe(43);
    expect(collections).toBeGreaterThan(5);
    expect(ended).toBe(true);
  });

  test('is collected without being asked: the collector knows how much memory it has', async () => {
    const { first, threads } = await collect('unasked');
    expect(first).toBe(true);
    expect(threads).toBeLessThan(50); // of 100 engines
  });
});

import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

describe('ten thousand calls', () => {
  test('leave memory as it was', async () => {
    const hardly = 6; // a kilobyte a call would be ten MiB
    const child = await runChild<{ grown: Readonly<Record<string, number>> }>('leaks.mjs', ['10000', `${hardly}`], {
      node: ['--expose-gc'],
    });
    expect(child).toMatchObject(endedWell);
    expect(Object.keys(child.report.grown)).toHaveLength(7);
    expect(Object.entries(child.report.grown).filter(([, mebibytes]) => mebibytes > hardly)).toEqual([]);
  });
});

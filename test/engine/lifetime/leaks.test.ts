import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

describe('ten thousand calls', () => {
  test('leave memory as it was', async () => {
    const child = await runChild<{ grown: Readonly<Record<string, number>> }>('leaks.mjs', ['10000'], {
      node: ['--expose-gc'],
    });
    expect(child).toMatchObject(endedWell);
    // A kilobyte a call would be ten MiB.
    for (const [call, mebibytes] of Object.entries(child.report.grown))
      expect({ call, grew: mebibytes > 6 ? mebibytes : 'hardly' }).toEqual({ call, grew: 'hardly' });
  });
});

import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../src/cli/run.js';

let root: string;
let stdout: string;
let stderr: string;
const spies: { mockRestore(): void }[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'scenes-'));
  stdout = stderr = '';
  spies.push(
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true)),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true)),
  );
});
afterEach(async () => {
  spies.splice(0).forEach((spy) => spy.mockRestore());
  await rm(root, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<number> =>
  runCli(['scenes', ...args], { scenes: () => import('../../src/cli/scenes.js') });

const small = ['--images', '20', '--feature-dim', '8'];

describe('lxmert scenes', () => {
  test('with --json, prints one object and nothing else', async () => {
    expect(await run('--out', join(root, 'a'), ...small, '--json')).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(Object.keys(result).sort()).toEqual(
      [
        'images',
        'validImages',
        'sentences',
        'questions',
        'bytes',
        'seconds',
        'languageOnlyMajority',
        'fineTuningMajority',
      ].sort(),
    );
    expect(result).toMatchObject({ images: 20, validImages: 100 });
    const shares = Object.entries(result.languageOnlyMajority as Record<string, number>);
    expect(shares.map(([key]) => key)).toEqual(expect.arrayContaining(['existence', 'color', 'leftRight', 'all']));
    for (const [, share] of shares) expect(share).toBeLessThan(0.6);
    expect(result.fineTuningMajority).toEqual({ vqa: expect.any(Number), nlvr2: 0.5 });
  });

  test('without --json, prints a table', async () => {
    expect(await run('--out', join(root, 'a'), ...small, '--pictures', '2')).toBe(0);
    expect(stdout).toContain('20 training and 100 validation scenes');
    expect(stdout).toMatch(/^existence +\d+ +0\.\d{3} +0\.\d{3}$/m);
    expect(stdout).toMatch(/^all +\d+ +0\.\d{3} +0\.\d{3}$/m);
    expect(stdout).toMatch(/^vqa +\d+ +0\.\d{3} +0\.\d{3}$/m);
    expect(stdout).toMatch(/^nlvr2 +\d+ +0\.500 +0\.500$/m);
    expect(await readdir(join(root, 'a', 'pictures'))).toHaveLength(2);
  });

  test.each([
    [['--images', 'many'], '--images'],
    [['--images', '0'], '--images'],
    [['--feature-dim', '-3'], '--feature-dim'],
    [['--seed', '1.5'], '--seed'],
    [['--pictures'], 'pictures'],
    [['--imagse', '3'], '--images'],
    [['somewhere'], 'somewhere'],
  ])('%p is wrong usage', async (args, word) => {
    expect(await run('--out', join(root, 'a'), ...args)).toBe(2);
    expect(stderr).toContain(word);
    expect(stdout).toBe('');
    expect(await readdir(root)).toEqual([]);
  });

  test('refuses to run without a folder', async () => {
    expect(await run()).toBe(2);
    expect(stderr).toContain('out');
  });

  test('fails with one line if it cannot write', async () => {
    expect(await run('--out', '/dev/null/scenes', ...small)).toBe(1);
    expect(stderr).toMatch(/^lxmert: cannot write scenes to \/dev\/null\/scenes: .*\n$/);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { forbiddenChanges } from '../../src/config/changes.js';
import { loadRunConfig } from '../../src/config/loadConfig.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lxmert-config-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const messageOf = async (sources: Parameters<typeof loadRunConfig>[0]): Promise<string> => {
  const error: unknown = await loadRunConfig(sources).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: 'LxmertError' });
  return (error as Error).message;
};

describe('a path that begins with ~', () => {
  test.each(['out', 'data', 'vocabulary', 'exclude', 'init'])(
    '--%s is refused with the path that was meant',
    async (flag) => {
      expect(await messageOf({ flags: { [flag]: '~/runs/x' } })).toMatch(
        new RegExp(`^--${flag}: only a shell replaces ~ .*write ${homedir()}/runs/x, or ./~/runs/x`),
      );
    },
  );

  test('in a file, with its line', async () => {
    const file = join(dir, 'home.yaml');
    await writeFile(file, 'batchSize: 4\nout: ~/runs/x\n');
    expect(await messageOf({ file })).toMatch(/home\.yaml:2: out: only a shell replaces ~/);
  });

  test('of another user, and a name that only has ~ inside', async () => {
    expect(await messageOf({ flags: { out: '~ann/x' } })).toContain('write the home folder of ann');
    expect((await loadRunConfig({ flags: { out: './~/x~' } })).out).toBe('./~/x~');
  });
});

describe('a configuration file is UTF-8 text', () => {
  const yaml = 'batchSize: 4\n';
  test('a byte order mark is allowed', async () => {
    const file = join(dir, 'mark.yaml');
    await writeFile(file, `\uFEFF${yaml}`);
    expect((await loadRunConfig({ file })).batchSize).toBe(4);
  });

  test.each<[string, Uint8Array, string]>([
    ['UTF-16', Buffer.from(`\uFEFF${yaml}`, 'utf16le'), 'is UTF-16 text; expected a description of a run'],
    ['Latin-1', Buffer.from('batchSize: 4\n# caf\xe9\n', 'latin1'), 'line 2: is not UTF-8 text'],
  ])('%s is refused', async (name, content, said) => {
    const file = join(dir, `${name}.yaml`);
    await writeFile(file, content);
    expect(await messageOf({ file })).toContain(`${file}: ${said}`);
  });
});

describe('image lists on resume', () => {
  const lists = async (saved: object, flags: Record<string, string>) => {
    const { data } = await loadRunConfig({ saved: { data: saved }, flags });
    return [data.exclude, data.excludeLater];
  };

  test('lists that the run did not have at its start become excludeLater', async () => {
    expect(await lists({}, { exclude: 'bad.txt' })).toEqual([[], ['bad.txt']]);
    expect(await lists({ exclude: ['test.txt'] }, { exclude: 'bad.txt' })).toEqual([['test.txt'], ['bad.txt']]);
    expect(await lists({ exclude: ['test.txt'] }, { exclude: 'test.txt,bad.txt' })).toEqual([
      ['test.txt'],
      ['bad.txt'],
    ]);
    expect(await lists({ exclude: ['test.txt'] }, {})).toEqual([['test.txt'], []]);
  });

  test('lists of earlier resumes are kept', async () => {
    const saved = { exclude: ['test.txt'], excludeLater: ['one.txt'] };
    expect(await lists(saved, { exclude: 'two.txt' })).toEqual([['test.txt'], ['one.txt', 'two.txt']]);
    expect(await lists(saved, { 'exclude-later': 'three.txt' })).toEqual([['test.txt'], ['one.txt', 'three.txt']]);
  });

  test('in a new run, exclude does not change', async () => {
    expect((await loadRunConfig({ flags: { exclude: 'bad.txt' } })).data).toMatchObject({
      exclude: ['bad.txt'],
      excludeLater: [],
    });
  });

  test('these lists and the path of the vocabulary do not count as changes', async () => {
    const before = await loadRunConfig({ flags: { vocabulary: 'a/vocab.txt' } });
    const { excludeLater: _, ...data } = before.data;
    const after = await loadRunConfig({ flags: { vocabulary: 'b/vocab.txt', 'exclude-later': 'x.txt' } });
    expect(forbiddenChanges({ ...before, data }, { ...after })).toEqual([]);
    expect(forbiddenChanges({ ...before }, { ...after, seed: 1 })).toHaveLength(1);
  });
});

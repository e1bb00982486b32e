import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { findSplit, parseManifest, readManifest } from '../../../src/data/samples/manifest.js';
import { TestFolders } from '../support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

describe('data.yaml', () => {
  test('names splits, answers and label counts; paths are relative to its folder', async () => {
    const dir = await folders.make({
      'data.yaml': [
        'answers: text/answers.json',
        'objectLabels: 4',
        'attributeLabels: 3',
        'splits:',
        '  train: { features: f/train.tsv, sentences: text/train.json, vqa: text/questions.json }',
        '  dev: { features: /far/away.tsv, sentences: text/dev.json }',
      ].join('\n'),
    });
    const manifest = await readManifest(dir);
    expect(manifest).toMatchObject({
      file: join(dir, 'data.yaml'),
      answers: join(dir, 'text/answers.json'),
      objectLabels: 4,
      attributeLabels: 3,
    });
    expect(await findSplit(manifest, 'train', 'pretrain')).toEqual({
      split: 'train',
      features: join(dir, 'f/train.tsv'),
      text: join(dir, 'text/train.json'),
    });
    expect(await findSplit(manifest, 'train', 'vqa')).toMatchObject({ text: join(dir, 'text/questions.json') });
    expect(await findSplit(manifest, 'dev', 'pretrain')).toMatchObject({ features: '/far/away.tsv' });
    await expect(findSplit(manifest, 'test', 'pretrain')).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: `there is no split 'test' in ${join(dir, 'data.yaml')}; known: train, dev`,
    });
  });

  test('a task uses the key with its name, otherwise <task>/<split>.json, otherwise sentences', async () => {
    const dir = await folders.make({
      'data.yaml':
        'splits: { dev: { features: f.tsv, sentences: s.json, nlvr2: n.json }, only: { features: f.tsv, gqa: g } }',
      'vqa/dev.json': '[]',
      'nlvr2/dev.json': '[]',
    });
    const manifest = await readManifest(dir);
    const text = async (split: string, task: 'pretrain' | 'vqa' | 'gqa' | 'nlvr2') =>
      (await findSplit(manifest, split, task)).text;
    expect(await text('dev', 'pretrain')).toBe(join(dir, 's.json'));
    expect(await text('dev', 'vqa')).toBe(join(dir, 'vqa/dev.json'));
    expect(await text('dev', 'gqa')).toBe(join(dir, 's.json'));
    expect(await text('dev', 'nlvr2')).toBe(join(dir, 'n.json'));
    expect(await text('only', 'gqa')).toBe(join(dir, 'g'));
    await expect(text('only', 'pretrain')).rejects.toThrow("the split 'only' has no 'sentences:', so it cannot serve");
    await expect(text('only', 'vqa')).rejects.toThrow("the split 'only' has no 'vqa:' or 'sentences:'");
  });

  test('works for a relative folder, too', async () => {
    const dir = await folders.make({
      'data.yaml': 'splits: { dev: { features: f.tsv } }',
      'vqa/dev.json': '[]',
      'all_ans.json': '[]',
    });
    const relative = join('..', ...new Array<string>(20).fill('..'), dir);
    const manifest = await readManifest(relative);
    expect(manifest.answers).toBe(join(relative, 'all_ans.json'));
    expect((await findSplit(manifest, 'dev', 'vqa')).text).toBe(join(relative, 'vqa/dev.json'));
  });

  test.each([
    ['all_ans.json', 'all_ans.json'],
    ['lxmert/all_ans.json', 'lxmert/all_ans.json'],
    ['other.json', undefined],
  ])('with %s in the folder, the answers are %s', async (file, answers) => {
    const dir = await folders.make({ 'data.yaml': 'splits: { a: { features: f } }', [file]: '[]' });
    const manifest = await readManifest(dir);
    expect(manifest.answers).toBe(answers === undefined ? undefined : join(dir, answers));
    expect(manifest).toMatchObject({ objectLabels: 1600, attributeLabels: 400 });
  });

  test.each([
    ['', "must have 'splits:', found null"],
    ['- a', "must have 'splits:', found a list of 1"],
    ['splits: {}', 'line 1: splits must name splits'],
    ['answers: a.json', 'splits must name splits, found nothing'],
    ['splits: { a: { features: f } }\nanswer: x', "line 2: answer is not known here. Did you mean 'answers'?"],
    ['splits:\n  a:\n    feature: f', "line 3: splits.a.feature is not known here. Did you mean 'features'?"],
    [
      'splits:\n  a:\n    features: f\n    zzzzzz: f',
      'line 4: splits.a.zzzzzz is not known here. Known here: features,',
    ],
    ['splits:\n  a: f', "line 2: splits.a must have 'features:' and 'sentences:', found \"f\""],
    ['splits:\n  a: { sentences: s }', "line 2: splits.a has no 'features:'"],
    ['splits:\n  a: { features: 7 }', 'splits.a.features must be a path, found 7'],
    ['splits:\n  a: { features: "" }', 'splits.a.features must be a path, found ""'],
    ['splits:\n  "a,b": { features: f }', 'line 2: splits.a,b is no name of a split'],
    ['splits: { a: { features: f } }\nobjectLabels: 0', 'line 2: objectLabels must be a count from 1, found 0'],
    ['splits: { a: { features: f } }\nobjectLabels: 1.5', 'objectLabels must be a count from 1, found 1.5'],
    ['splits: { a: { features: f } }\nanswers: [x]', 'answers must be a path, found a list of 1'],
    ['splits: { a: { features: f }', 'line 1: '],
    ['splits:\n  a: { features: f }\n  a: { features: g }', 'line 3: Map keys must be unique'],
    ['splits: *x', 'alias'],
  ])('%j is refused', (text, message) => {
    let error: unknown;
    try {
      parseManifest(text, 'data.yaml');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'BAD_DATA', message: expect.stringContaining(message) });
  });

  test('an alias bomb is refused', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(10)}]`);
    expect(() => parseManifest(['l0: &l0 [x]', ...levels].join('\n'), 'data.yaml')).toThrow('alias');
  });
});

describe('fuzzing data.yaml', () => {
  /** The splits that were read; undefined if the text was refused. Any other result is a failure. */
  function parse(text: string) {
    try {
      return parseManifest(text, 'data.yaml');
    } catch (error) {
      expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
      expect((error as Error).message).toContain('data.yaml');
      return undefined;
    }
  }

  function checkRead(read: NonNullable<ReturnType<typeof parse>>): void {
    expect(read.splits.size).toBeGreaterThan(0);
    for (const [name, entry] of read.splits) {
      expect(name).toMatch(/^[^,\s]+$/);
      for (const path of Object.values(entry)) expect(path).toMatch(/./s);
    }
    for (const count of [read.objectLabels ?? 1, read.attributeLabels ?? 1]) expect(count).toBeGreaterThanOrEqual(1);
  }

  test('pieces of YAML in any order are read completely or refused', () => {
    const pieces = ['splits', 'features', 'sentences', 'answers', 'objectLabels', 'train', 'f.tsv', '16', '-1', '""'];
    const marks = [
      ': ',
      ':',
      '\n',
      '\n  ',
      '\n    ',
      '- ',
      '{ ',
      ' }',
      '[',
      ']',
      ', ',
      '&a ',
      '*a',
      '!!map ',
      '"',
      '<<',
      '? ',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces, ...marks), { maxLength: 40 }), (parts) => {
        const read = parse(parts.join(''));
        if (read !== undefined) checkRead(read);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test('text of any kind is refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
        expect(parse(text)).toBeUndefined();
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test('a changed character never removes a split without an error', () => {
    const good =
      'splits:\n  train: { features: a.tsv, sentences: a.json }\n  dev: { features: b.tsv }\nobjectLabels: 16\n';
    const characters = fc.constantFrom(...'abst:{}[],\n "#&*!|>-?019'.split(''));
    fc.assert(
      fc.property(fc.nat({ max: good.length - 1 }), characters, (at, character) => {
        const read = parse(good.slice(0, at) + character + good.slice(at + 1));
        if (read === undefined) return;
        checkRead(read);
        // In YAML, the text after a # is a comment.
        if (character !== '#') expect(read.splits.size).toBe(2);
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  test('a document of many levels is refused', () => {
    for (const text of ['[', '{a: ', '- ', '? ']) parse(`splits: ${text.repeat(20_000)}`);
    expect(parse(`splits: ${'['.repeat(20_000)}${']'.repeat(20_000)}`)).toBeUndefined();
  });
});

describe('the original layout', () => {
  test('has the original’s splits', async () => {
    const dir = await folders.make({ 'lxmert/all_ans.json': '[]' });
    const manifest = await readManifest(dir);
    expect(manifest).toMatchObject({ file: undefined, answers: join(dir, 'lxmert/all_ans.json'), objectLabels: 1600 });
    const features = async (split: string, task: 'pretrain' | 'vqa' | 'gqa' | 'nlvr2') => {
      const found = await findSplit(manifest, split, task);
      return [found.text, found.features].map((path) => path.slice(dir.length + 1));
    };
    expect(await features('mscoco_train', 'pretrain')).toEqual([
      'lxmert/mscoco_train.json',
      'mscoco_imgfeat/train2014_obj36.tsv',
    ]);
    expect(await features('mscoco_nominival', 'pretrain')).toEqual([
      'lxmert/mscoco_nominival.json',
      'mscoco_imgfeat/val2014_obj36.tsv',
    ]);
    expect(await features('mscoco_minival', 'pretrain')).toEqual([
      'lxmert/mscoco_minival.json',
      'mscoco_imgfeat/val2014_obj36.tsv',
    ]);
    expect(await features('vgnococo', 'pretrain')).toEqual(['lxmert/vgnococo.json', 'vg_gqa_imgfeat/vg_gqa_obj36.tsv']);
    expect(await features('minival', 'vqa')).toEqual(['vqa/minival.json', 'mscoco_imgfeat/val2014_obj36.tsv']);
    expect(await features('testdev', 'gqa')).toEqual(['gqa/testdev.json', 'vg_gqa_imgfeat/gqa_testdev_obj36.tsv']);
    expect(await features('valid', 'nlvr2')).toEqual(['nlvr2/valid.json', 'nlvr2_imgfeat/valid_obj36.tsv']);
    await expect(findSplit(manifest, 'train', 'pretrain')).rejects.toThrow(
      `there is no split 'train' in ${dir} (no data.yaml); known: mscoco_train, mscoco_nominival, mscoco_minival, vgnococo`,
    );
  });

  test('a folder that is missing or a file', async () => {
    const dir = await folders.make({ file: 'x' });
    await expect(readManifest(join(dir, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(readManifest(join(dir, 'file'))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });
});

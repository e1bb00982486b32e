import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { questionType, writeScenes } from '../../src/scenes/index.js';
import type { ScenesSummary } from '../../src/scenes/index.js';
import { colors, makeScene, shapes } from '../../src/scenes/world.js';
import { answer, isTrue } from './evaluator.js';

const size = { images: 30, featureDim: 16, pictures: 3 };
let root: string;
let out: string;
let summary: ScenesSummary;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scenes-'));
  out = join(root, 'a', 'scenes');
  summary = await writeScenes({ out, ...size });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const text = (name: string, folder = out): Promise<string> => readFile(join(folder, name), 'utf8');

/** The bytes of every file below a folder, by file name. */
async function contents(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder, { recursive: true });
  const files: Record<string, string> = {};
  for (const name of names.sort()) {
    if ((await stat(join(folder, name))).isFile()) files[name] = await readFile(join(folder, name), 'base64');
  }
  return files;
}

interface Entry {
  img_id: string;
  sentf: { captions: string[]; vqa: string[] };
  labelf: { vqa: Record<string, number>[] };
}

/** Decodes a line of the TSV like the original, which calls numpy's `frombuffer` on the base64 columns. */
function decode(line: string) {
  const fields = line.split('\t');
  expect(fields).toHaveLength(10);
  const bytes = (k: number): ArrayBuffer => Uint8Array.from(Buffer.from(fields[k], 'base64')).buffer;
  return {
    imgId: fields[0],
    height: Number(fields[1]),
    width: Number(fields[2]),
    objectIds: [...new BigInt64Array(bytes(3))].map(Number),
    objectConfs: new Float32Array(bytes(4)),
    attrIds: [...new BigInt64Array(bytes(5))].map(Number),
    attrConfs: new Float32Array(bytes(6)),
    count: Number(fields[7]),
    boxes: new Float32Array(bytes(8)),
    features: new Float32Array(bytes(9)),
  };
}

describe('the folder', () => {
  test('contains the files that data.yaml names, and no incomplete files', async () => {
    expect((await readdir(out)).sort()).toEqual(
      [
        'all_ans.json',
        'data.yaml',
        'nlvr2',
        'pictures',
        'questions.json',
        'train.json',
        'train.tsv',
        'valid.json',
        'valid.tsv',
        'vqa',
      ].sort(),
    );
    const lists = ['trainval_ans2label.json', 'trainval_label2ans.json'];
    expect((await readdir(join(out, 'vqa'))).sort()).toEqual(['train.json', 'valid.json', ...lists].sort());
    expect((await readdir(join(out, 'nlvr2'))).sort()).toEqual(['train.json', 'valid.json']);
    expect(parse(await text('data.yaml'))).toEqual({
      splits: {
        train: { features: 'train.tsv', sentences: 'train.json', vqa: 'vqa/train.json', nlvr2: 'nlvr2/train.json' },
        valid: { features: 'valid.tsv', sentences: 'valid.json', vqa: 'vqa/valid.json', nlvr2: 'nlvr2/valid.json' },
        questions: { features: 'train.tsv', sentences: 'questions.json' },
      },
      answers: 'all_ans.json',
      objectLabels: 4,
      attributeLabels: 4,
    });
    expect((await readdir(join(out, 'pictures'))).sort()).toEqual(
      [0, 1, 2].map((k) => `${makeScene(0, 'train', k).id}.svg`),
    );
  });

  test('has a correct summary', async () => {
    const files = await contents(out);
    const entries = [
      ...(JSON.parse(await text('train.json')) as Entry[]),
      ...(JSON.parse(await text('valid.json')) as Entry[]),
    ];
    const questions = entries.flatMap(({ sentf }) => sentf.vqa).length;
    expect(summary).toMatchObject({
      images: 30,
      validImages: 100,
      questions,
      sentences: questions + 4 * 130,
      bytes: Object.values(files).reduce((sum, file) => sum + Buffer.from(file, 'base64').length, 0),
    });
    expect(summary.seconds).toBeGreaterThan(0);
  });
});

describe.each([
  ['train', 30],
  ['valid', 100],
] as const)('%s.tsv and %s.json', (split, count) => {
  const scenes = Array.from({ length: count }, (_, index) => makeScene(0, split, index));

  test('the decoded features match the scenes', async () => {
    const file = await text(`${split}.tsv`);
    expect(file.endsWith('\n')).toBe(true);
    const rows = file.trimEnd().split('\n').map(decode);
    expect(rows.map(({ imgId }) => imgId)).toEqual(scenes.map(({ id }) => id));
    let right = 0;
    let all = 0;
    for (const [k, row] of rows.entries()) {
      const { width, height, objects } = scenes[k];
      expect([row.width, row.height, row.count]).toEqual([width, height, objects.length]);
      const lengths = [row.objectIds, row.attrIds, row.objectConfs, row.attrConfs, row.boxes, row.features].map(
        (a) => a.length,
      );
      expect(lengths).toEqual([1, 1, 1, 1, 4, 16].map((n) => n * row.count));
      for (let i = 0; i < row.count; i += 1) {
        const box = [...row.boxes.subarray(4 * i, 4 * i + 4)];
        const near = objects.filter(({ box: edges }) => edges.every((edge, e) => Math.abs(edge - box[e]) < 6));
        expect(near).toHaveLength(1);
        all += 1;
        right += Number(shapes[row.objectIds[i]] === near[0].shape && colors[row.attrIds[i]] === near[0].color);
      }
      expect(row.boxes.every((edge, i) => edge >= 0 && edge <= (i % 2 === 0 ? width : height))).toBe(true);
      expect(row.features.every(Number.isFinite)).toBe(true);
    }
    expect(right / all).toBeGreaterThan(0.85);
    expect(right / all).toBeLessThanOrEqual(1);
  });

  test('the sentences belong to these scenes, and the answers are in the answer table', async () => {
    const answers = JSON.parse(await text('all_ans.json')) as { ans: string; dsets: string[] }[];
    expect(answers.every(({ dsets }) => dsets.includes('vqa'))).toBe(true);
    const entries = JSON.parse(await text(`${split}.json`)) as Entry[];
    expect(entries.map(({ img_id }) => img_id)).toEqual(scenes.map(({ id }) => id));
    for (const [k, { sentf, labelf }] of entries.entries()) {
      expect(Object.keys(sentf)).toEqual(['captions', 'vqa']);
      expect(Object.keys(labelf)).toEqual(['vqa']);
      expect(labelf.vqa).toHaveLength(sentf.vqa.length);
      expect(sentf.captions.every((caption) => isTrue(scenes[k], caption))).toBe(true);
      expect(labelf.vqa).toEqual(sentf.vqa.map((question) => ({ [answer(scenes[k], question)!]: 1 })));
      expect(labelf.vqa.every((label) => answers.some(({ ans }) => ans in label))).toBe(true);
      expect(sentf.vqa.every((question) => questionType(question) !== undefined)).toBe(true);
    }
  });
});

test('the split of questions has the questions of the training scenes, and no captions', async () => {
  const all = JSON.parse(await text('train.json')) as Entry[];
  const questions = JSON.parse(await text('questions.json')) as Entry[];
  expect(questions).toEqual(all.map((entry) => ({ ...entry, sentf: { ...entry.sentf, captions: [] } })));
});

describe('writing again', () => {
  test('gives the same bytes, in another folder and over the old files, and does not change other files', async () => {
    const before = await contents(out);
    const other = join(root, 'other');
    await writeScenes({ out: other, ...size });
    expect(await contents(other)).toEqual(before);
    await writeFile(join(other, 'store.txt'), 'mine');
    await writeScenes({ out: other, ...size });
    await writeFile(join(other, 'vqa', 'test.json'), '[]');
    await writeScenes({ out: other, ...size });
    expect(await contents(other)).toEqual({
      ...before,
      'store.txt': Buffer.from('mine').toString('base64'),
      'vqa/test.json': Buffer.from('[]').toString('base64'),
    });
  });

  test('a smaller number of scenes gives the beginning of the larger; another seed gives others', async () => {
    const few = join(root, 'few');
    await writeScenes({ out: few, ...size, images: 10, pictures: 0 });
    expect((await text('train.tsv')).startsWith(await text('train.tsv', few))).toBe(true);
    expect((JSON.parse(await text('train.json')) as Entry[]).slice(0, 10)).toEqual(
      JSON.parse(await text('train.json', few)),
    );
    expect(await text('valid.json', few)).toBe(await text('valid.json'));
    for (const task of ['vqa', 'nlvr2'])
      expect((await text(`${task}/train.json`)).startsWith((await text(`${task}/train.json`, few)).slice(0, -3))).toBe(
        true,
      );
    const seeded = join(root, 'seeded');
    await writeScenes({ out: seeded, ...size, seed: 1 });
    expect(await text('train.tsv', seeded)).not.toBe(await text('train.tsv'));
  });

  test('files that a killed run left are removed', async () => {
    const left = join(root, 'left');
    await mkdir(join(left, '.tmp-scenes', 'pictures'), { recursive: true });
    await writeFile(join(left, '.tmp-scenes', 'train.tsv'), 'half a li');
    await writeScenes({ out: left, ...size });
    expect(await contents(left)).toEqual(await contents(out));
  });
});

describe('refusals', () => {
  const refused = async (folder: string, more: object, code: string, ...words: string[]): Promise<void> => {
    const error: unknown = await writeScenes({ out: folder, ...size, ...more }).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code });
    for (const word of words) expect((error as Error).message).toContain(word);
  };

  test('a folder with scenes of other parameters is not changed', async () => {
    const before = await contents(out);
    for (const more of [{ images: 31 }, { seed: 1 }, { featureDim: 17 }]) {
      await refused(out, more, 'BAD_ARGUMENT', out, 'images 30, seed 0, feature-dim 16');
    }
    // The files of a killed run do not turn this folder into a folder of scenes.
    await mkdir(join(out, '.tmp-scenes'));
    await refused(out, { seed: 1 }, 'BAD_ARGUMENT', out);
    await rm(join(out, '.tmp-scenes'), { recursive: true, force: true });
    expect(await contents(out)).toEqual(before);
  });

  test('a folder with other files is not changed', async () => {
    const mine = join(root, 'mine');
    await mkdir(mine);
    await writeFile(join(mine, 'train.tsv'), 'years of work');
    await refused(mine, {}, 'BAD_ARGUMENT', mine, 'train.tsv', 'new folder');
    await writeFile(join(mine, 'data.yaml'), 'splits: {}\n');
    await refused(mine, {}, 'BAD_ARGUMENT', mine);
    expect(await text('train.tsv', mine)).toBe('years of work');
    expect(await readdir(mine)).toEqual(['data.yaml', 'train.tsv']);
  });

  test('a path that cannot be a folder', async () => {
    await writeFile(join(root, 'file'), '');
    await refused(join(root, 'file'), {}, 'FILE_ACCESS', join(root, 'file'));
    await refused(join(root, 'file', 'below'), {}, 'FILE_ACCESS', 'not a folder');
  });

  test.each([
    ['images', 0],
    ['images', 1.5],
    ['images', 1e9],
    ['images', NaN],
    ['seed', -1],
    ['seed', 2 ** 53],
    ['featureDim', 0],
    ['featureDim', Infinity],
    ['pictures', -1],
  ])('%s %p is a bad argument, and nothing is written', async (name, value) => {
    const folder = join(root, `never-${name}`);
    await refused(folder, { [name]: value }, 'BAD_ARGUMENT', name, String(value));
    await expect(stat(folder)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

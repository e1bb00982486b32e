import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AnswerTable } from '../../../src/data/samples/answers.js';
import { FeatureFiles } from '../../../src/data/features/openFeatures.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { TestFolders, testData, testImage, testText, tsvText } from '../support/samples.js';
import { readImage } from '../support/readImage.js';
import { timesOpen } from '../support/threads.js';

const folders = new TestFolders();
let wordPiece: WordPiece;

beforeAll(async () => {
  wordPiece = await WordPiece.load();
});
afterAll(() => folders.remove());

describe('openPretrainData', () => {
  test('has one sample for each sentence, with tokens and answers', async () => {
    const dir = await folders.make(testData({ images: 4, featureDim: 6 }));
    const data = await openPretrainData({ dir, splits: 'train', wordPiece });
    expect(data).toMatchObject({ name: 'train', size: 12, featureDim: 6, objectLabels: 16, attributeLabels: 8 });
    expect([...data.images]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(data.sampleId(5)).toBe('image_1_vqa_000');
    expect(data.sampleId(7)).toBe('image_2_mscoco_001');
    for (let i = 0; i < 12; i++) {
      const { sentf } = testText(Math.floor(i / 3));
      const sentence = [...sentf.mscoco, ...sentf.vqa][i % 3];
      expect([...data.tokens.subarray(data.tokenOffsets[i], data.tokenOffsets[i + 1])]).toEqual([
        ...wordPiece.encode(sentence, 20),
      ]);
    }
    // Question 3 is about a yellow star: yellow has score 1, pink 0.3, and "nonsense" is not in the table.
    expect(data.answerOffsets[9]).toBe(data.answerOffsets[11]);
    expect([...data.answerIds.subarray(data.answerOffsets[11], data.answerOffsets[12])]).toEqual([3, 5]);
    expect(data.answerScores.subarray(data.answerOffsets[11])).toEqual(Float32Array.of(1, 0.3));
    expect(data.report).toMatchObject({
      sentences: 12,
      questions: 4,
      images: 4,
      imagesWithoutSentences: 0,
      excluded: [],
      sentencesWithoutImage: 0,
      missingImage: undefined,
      truncatedSentences: 0,
      unknownAnswers: 4,
    });
    await data.close();
    await data.close();
  });

  test('cuts sentences to maxTokens and counts them', async () => {
    const dir = await folders.make(testData({ images: 2 }));
    const data = await openPretrainData({ dir, splits: 'train', wordPiece, maxTokens: 12 });
    expect(data.report.truncatedSentences).toBe(4);
    for (let i = 0; i < data.size; i++) {
      const tokens = data.tokens.subarray(data.tokenOffsets[i], data.tokenOffsets[i + 1]);
      expect(tokens.length).toBeLessThanOrEqual(12);
      expect([tokens[0], tokens.at(-1)]).toEqual([101, 102]);
    }
    await expect(openPretrainData({ dir, splits: 'train', wordPiece, maxTokens: 2 })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    });
  });

  test('joins spellings of an answer with the higher score, and leaves out scores of 0', async () => {
    const text = () => ({
      img_id: 'image_0',
      sentf: { vqa: ['how many?'] },
      labelf: { vqa: [{ two: 0.6, '2': 0.9, 'a 2.': 0.3, yes: 0, Red: 1 }] },
    });
    const dir = await folders.make(testData({ images: 1, text }));
    const data = await openPretrainData({ dir, splits: 'train', wordPiece });
    const found = new Map([...data.answerIds].map((id, i) => [data.answers!.answers[id], data.answerScores[i]]));
    expect(found).toEqual(
      new Map([
        ['2', Math.fround(0.9)],
        ['red', 1],
      ]),
    );
  });

  test('without an answer table there are no answers', async () => {
    const dir = await folders.make(testData({ images: 2 }));
    await rm(join(dir, 'all_ans.json'));
    const data = await openPretrainData({ dir, splits: 'train', wordPiece });
    expect(data.answers).toBeUndefined();
    expect(data.report.questions).toBe(0);
    expect(data.answerIds).toHaveLength(0);
    expect(data.answerOffsets).toHaveLength(data.size + 1);
  });

  test('another answer table is used instead of the folder’s', async () => {
    const dir = await folders.make(testData({ images: 2 }));
    const answers = new AnswerTable(['pink', 'red']);
    const data = await openPretrainData({ dir, splits: 'train', wordPiece, answers });
    expect(data.answers).toBe(answers);
    expect([...data.answerIds]).toEqual([1, 0, 0]);
  });

  test('several splits become one; a shared features file is opened once', async () => {
    const files = testData({ images: 6 });
    const dir = await folders.make({
      ...files,
      'data.yaml': [
        'objectLabels: 16',
        'attributeLabels: 8',
        'splits:',
        '  a: { features: f/train.tsv, sentences: a.json }',
        '  b: { features: f/train.tsv, sentences: b.json }',
        '  c: { features: c.tsv, sentences: c.json }',
      ].join('\n'),
      'a.json': JSON.stringify([testText(0), testText(2)]),
      'b.json': JSON.stringify([testText(5)]),
      // Image 2 is in c.tsv and in f/train.tsv; the first file counts.
      'c.tsv': tsvText([testImage(20, 2, 6), { ...testImage(7, 1, 6), id: 'image_2' }]),
      'c.json': JSON.stringify([testText(20), testText(2)]),
    });
    for (const splits of ['a,b, c', ['a', 'b', 'c']]) {
      const data = await openPretrainData({ dir, splits, wordPiece });
      expect(data.name).toBe('a,b,c');
      expect(data.imageIds).toHaveLength(7);
      expect(data.report).toMatchObject({ sentences: 15, images: 4, imagesWithoutSentences: 3 });
      expect([...new Set(data.images)]).toEqual([0, 2, 5, 6]);
      expect(data.features.numObjects(2)).toBe(5);
      await data.close();
    }
    await expect(openPretrainData({ dir, splits: 'a,,b', wordPiece })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(openPretrainData({ dir, splits: '', wordPiece })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(openPretrainData({ dir, splits: [], wordPiece })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(openPretrainData({ dir, splits: 'a,a', wordPiece })).rejects.toThrow("'a' is given twice");
    await expect(openPretrainData({ dir, splits: 'z', wordPiece })).rejects.toThrow('known: a, b, c');
  });

  test('leaves out sentences without features of their image, up to a share', async () => {
    const files = testData({ images: 200 });
    const tsv = files['f/train.tsv'].split('\n');
    const without = (missing: number) => ({ ...files, 'f/train.tsv': tsv.slice(missing).join('\n') });
    const dir = await folders.make(without(2));
    const data = await openPretrainData({ dir, splits: 'train', wordPiece });
    expect(data.report).toMatchObject({
      sentences: 594,
      images: 198,
      sentencesWithoutImage: 6,
      missingImage: 'image_0',
    });
    expect(data.sampleId(0)).toBe('image_2_mscoco_000');

    const worse = await folders.make(without(3));
    await expect(openPretrainData({ dir: worse, splits: 'train', wordPiece })).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(
        /train\.json: the images of 9 of 600 sentences are not in .*train\.tsv \(such as "image_0"; .*\); at most 1 %/,
      ),
    });
    const taken = await openPretrainData({ dir: worse, splits: 'train', wordPiece, maxMissingShare: 0.5 });
    expect(taken.report.sentencesWithoutImage).toBe(9);
  });

  test('a split without sentences, or without images of its sentences, is an error', async () => {
    const files = testData({ images: 2 });
    const empty = await folders.make({ ...files, 'train.json': '[]' });
    await expect(openPretrainData({ dir: empty, splits: 'train', wordPiece })).rejects.toThrow('no sentences in it');
    const apart = await folders.make({ ...files, 'train.json': JSON.stringify([testText(9)]) });
    await expect(openPretrainData({ dir: apart, splits: 'train', wordPiece, maxMissingShare: 1 })).rejects.toThrow(
      'the images of 3 of 3 sentences are not in',
    );
  });

  test.each([
    ['f/train.tsv', 'FILE_MISSING'],
    ['train.json', 'FILE_MISSING'],
  ])('without %s there is an error', async (file, code) => {
    const dir = await folders.make(testData({ images: 2 }));
    await rm(join(dir, file));
    await expect(openPretrainData({ dir, splits: 'train', wordPiece })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(join(dir, file)),
    });
  });

  test('a split without sentences is an error that names its file, also if other splits have sentences', async () => {
    const dir = await folders.make({
      ...testData({ images: 3 }),
      'data.yaml': `splits: { a: { features: f/train.tsv, sentences: train.json },
  b: { features: f/train.tsv, sentences: b.json }, c: { features: f/train.tsv, sentences: c.json } }`,
      'b.json': '[]',
      'c.json': JSON.stringify([{ img_id: 'image_0', sentf: { mscoco: [] } }]),
    });
    for (const [splits, file] of [
      ['a,b', 'b.json'],
      ['c,a', 'c.json'],
    ]) {
      await expect(openPretrainData({ dir, splits, wordPiece })).rejects.toMatchObject({
        code: 'BAD_DATA',
        message: `${join(dir, file)}: no sentences in it`,
      });
    }
  });

  test('a split whose images are missing is an error, even if the other splits are large', async () => {
    const dir = await folders.make({
      ...testData({ images: 200 }),
      'data.yaml': `splits: { a: { features: f/train.tsv, sentences: train.json },
  b: { features: f/train.tsv, sentences: b.json } }\nobjectLabels: 16\nattributeLabels: 8`,
      'b.json': JSON.stringify([testText(0), testText(900)]),
    });
    const open = (maxMissingShare?: number) =>
      openPretrainData({
        dir,
        splits: 'a,b',
        wordPiece,
        ...(maxMissingShare === undefined ? {} : { maxMissingShare }),
      });
    await expect(open()).rejects.toThrow(/b\.json: the images of 3 of 6 sentences are not in .*train\.tsv/);
    expect((await open(0.5)).report).toMatchObject({ sentencesWithoutImage: 3, missingImage: 'image_900' });
    for (const share of [-0.1, 1.1, NaN]) await expect(open(share)).rejects.toThrow('maxMissingShare must be from 0');
  });

  test("the original's splits, several at once, from its own folders", async () => {
    const files = testData({ images: 9 });
    const lines = files['f/train.tsv'].split('\n');
    const text = (...numbers: number[]) => JSON.stringify(numbers.map(testText));
    const dir = await folders.make({
      'lxmert/all_ans.json': files['all_ans.json'],
      'lxmert/mscoco_train.json': text(0, 1),
      'lxmert/mscoco_nominival.json': text(3, 4),
      'lxmert/mscoco_minival.json': text(5),
      'lxmert/vgnococo.json': text(6, 7),
      'mscoco_imgfeat/train2014_obj36.tsv': `${lines.slice(0, 3).join('\n')}\n`,
      'mscoco_imgfeat/val2014_obj36.tsv': `${lines.slice(3, 6).join('\n')}\n`,
      'vg_gqa_imgfeat/vg_gqa_obj36.tsv': lines.slice(6).join('\n'),
    });
    for (const inMemory of [true, false]) {
      const open = (splits: string) => openPretrainData({ dir, splits, wordPiece, inMemory });
      const train = await open('mscoco_train,mscoco_nominival,vgnococo');
      expect(train).toMatchObject({ size: 18, objectLabels: 1600, attributeLabels: 400 });
      expect([...new Set(train.images)].map((image) => train.imageIds[image])).toEqual(
        [0, 1, 3, 4, 6, 7].map((i) => `image_${i}`),
      );
      expect(train.report).toMatchObject({ questions: 6, imagesWithoutSentences: 3 });
      const valid = await open('mscoco_minival');
      expect(valid.report).toMatchObject({ sentences: 3, imagesWithoutSentences: 2 });
      await train.close();
      await valid.close();
    }
  });

  test('a signal at any time rejects with its reason, and no file stays open', async () => {
    const dir = await folders.make(testData({ images: 5 }));
    for (const inMemory of [true, false]) {
      let looks = 0;
      // The signal is aborted after this number of checks.
      const open = (at: number) => {
        looks = 0;
        const throwIfAborted = () => {
          if (looks++ === at) throw new Error(`came at ${at}`);
        };
        const signal = { throwIfAborted } as AbortSignal;
        return openPretrainData({ dir, splits: 'train', wordPiece, inMemory, signal });
      };
      const data = await open(Infinity);
      await data.close();
      // There are two reads of the TSV, two reads of the sentences (the second read finds the end of the file), and one
      // read for each image.
      const all = looks;
      expect(all).toBe(inMemory ? 9 : 4);
      for (let at = 0; at < all; at++) {
        await expect(open(at)).rejects.toThrow(`came at ${at}`);
        for (const name of ['f/train.tsv', 'train.json']) expect(await timesOpen(join(dir, name))).toBe(0);
      }
    }
  });

  test('a file of several splits is opened once, and closed by the caller that shared it', async () => {
    const text = JSON.parse(testData({ images: 6 })['train.json']) as object[];
    const dir = await folders.make({
      ...testData({ images: 6 }),
      'data.yaml': `splits: { a: { features: f/train.tsv, sentences: a.json },
  b: { features: f/train.tsv, sentences: b.json } }\nobjectLabels: 16\nattributeLabels: 8`,
      'a.json': JSON.stringify(text.slice(0, 4)),
      'b.json': JSON.stringify(text.slice(2)),
    });
    const path = join(dir, 'f/train.tsv');
    for (const inMemory of [true, false]) {
      const files = new FeatureFiles();
      const open = (splits: string) => openPretrainData({ dir, splits, wordPiece, inMemory, files });
      const [a, b] = [await open('a'), await open('b')];
      expect(b.features.shared).toBe(a.features.shared);
      expect(await timesOpen(path)).toBe(inMemory ? 0 : 1);
      await a.close();
      expect((await readImage({ reader: b.features, imageIds: b.imageIds }, 5)).imageId).toBe('image_5');
      await files.close();
      await files.close();
      expect(await timesOpen(path)).toBe(0);
    }
  });
});

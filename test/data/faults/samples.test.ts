/**
 * Tests which text, answers and images of samples are refused, which give notes, and when two data have the same
 * samples.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { trainBatches, validBatches } from '../../../src/data/batches/batching.js';
import { samplesDifference, samplesIdentity } from '../../../src/data/samples/identity.js';
import { AnswerTable, readAnswerTable } from '../../../src/data/samples/answers.js';
import { readManifest } from '../../../src/data/samples/manifest.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import type { OpenPretrainOptions } from '../../../src/data/samples/pretrainData.js';
import { dataNotes, overlapNote } from '../../../src/pretrain/dataNotes.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { samplesOf } from '../support/batchView.js';
import { TestFolders, testData, testImage, testText, tsvText } from '../support/samples.js';
import type { TestImage } from '../support/samples.js';

const folders = new TestFolders();
let wordPiece: WordPiece;

beforeAll(async () => {
  wordPiece = await WordPiece.load();
});
afterAll(() => folders.remove());

type Files = Record<string, string | Uint8Array>;
const open = async (files: Files, options: Partial<OpenPretrainOptions> = {}) =>
  openPretrainData({ dir: await folders.make(files), splits: 'train', wordPiece, ...options });
const failure = async (files: Files, options: Partial<OpenPretrainOptions> = {}): Promise<string> => {
  const error: unknown = await open(files, options).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
  return (error as Error).message;
};

describe('ids of text and features that do not match', () => {
  test.each([
    ['000000000007', '7', /such as "000000000007"; the features have "7"\).*differ in how they are written/],
    ['COCO_val2014_000000000007', '7', /"COCO_val2014_000000000007"; the features have "7"\)/],
    ['train2014/0007.jpg', '0007', /"train2014\/0007.jpg"; the features have "0007"\)/],
    ['Sunset', 'sunset', /"Sunset"; the features have "sunset"\)/],
    ['7', '8', /such as "7"; the features have ids like "8"\).*Do text and features belong together\?/],
  ])('%s in the text and %s in the features: both are shown', async (inText, inFeatures, said) => {
    const files = testData({ images: 1, text: () => ({ ...testText(7), img_id: inText }) });
    const image = { ...testImage(7, 3, 6), id: inFeatures };
    expect(await failure({ ...files, 'f/train.tsv': tsvText([image]) })).toMatch(said);
  });

  test.each(['image_1 ', '\uFEFFimage_1', 'image_1\u0000'])('%j in the text is refused', async (id) => {
    const files = testData({ images: 2, text: (i) => ({ ...testText(i), img_id: i === 1 ? id : 'image_0' }) });
    expect(await failure(files)).toMatch(/train\.json: \[1\]\.img_id must be a plain name/);
  });
});

describe('answer tables', () => {
  test.each([
    ['normal form', ['yes', '2', 'gray']],
    ['other spellings', ['Yes', 'two', 'grey']],
    ['a full stop and articles', ['yes.', 'The two', 'a Grey']],
  ])('%s: labels find their entry', (_, entries) => {
    const table = new AnswerTable(entries);
    expect(['yes', 'Yes', 'two', '2', 'grey', 'gray.', 'the gray', 'no'].map((answer) => table.idOf(answer))).toEqual([
      0, 0, 1, 1, 2, 2, 2, -1,
    ]);
    expect([table.size, table.unreachable]).toEqual([3, 0]);
  });

  test('an entry that is written in normal form is used before the others, which are counted', () => {
    const table = new AnswerTable(['grey', 'Gray', 'gray', 'Yes', 'YES']);
    expect([table.idOf('grey'), table.idOf('yes'), table.unreachable]).toEqual([2, 3, 3]);
  });

  test.each<[string, string | Uint8Array]>([
    ['a list of strings', '["yes", "no"]'],
    ['entries without dsets', '[{"ans": "yes"}, {"ans": "no"}]'],
    ['a byte order mark', '\uFEFF[{"ans": "yes", "dsets": ["vqa"]}, {"ans": "no", "dsets": []}]'],
  ])('%s is read', async (_, content) => {
    const file = join(await folders.make({ 'a.json': content }), 'a.json');
    expect((await readAnswerTable(file)).answers).toEqual(['yes', 'no']);
  });

  test.each<[string, string | Uint8Array, string]>([
    ['UTF-16', Buffer.from('\uFEFF["yes"]', 'utf16le'), 'is UTF-16 text; expected the answer table'],
    ['Latin-1', Buffer.from('["yes",\n"caf\xe9"]', 'latin1'), 'line 2: is not UTF-8 text'],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\n', 'is a Git LFS pointer'],
    ['an HTML page', '<!doctype html><p>404', 'is an HTML or XML page'],
  ])('%s is refused', async (_, content, said) => {
    const file = join(await folders.make({ 'a.json': content }), 'a.json');
    await expect(readAnswerTable(file)).rejects.toThrow(`${file}: ${said}`);
  });
});

describe('every text file follows the same rule', () => {
  const files: Files = testData({ images: 3 });
  const marked = (content: string | Uint8Array) => `\uFEFF${String(content)}`;
  const names = ['data.yaml', 'all_ans.json', 'f/train.tsv', 'train.json'];

  test('a byte order mark is allowed in all of them', async () => {
    const all = Object.fromEntries(names.map((name) => [name, marked(files[name])]));
    expect((await open(all)).report).toMatchObject({ sentences: 9, questions: 3 });
  });

  test.each(names)('%s in UTF-16 or compressed is refused, and the message says so', async (name) => {
    for (const [content, said] of [
      [Buffer.from(marked(files[name]), 'utf16le'), 'is UTF-16 text'],
      [Buffer.from([0x1f, 0x8b, 8, 0, 0]), 'is packed by gzip'],
    ] as const) {
      expect(await failure({ ...files, [name]: content })).toContain(`${name}: ${said}`);
    }
  });

  test.each(['data.yaml', 'all_ans.json', 'train.json'])('%s in Latin-1 is refused with the line', async (name) => {
    const text = String(files[name]);
    const content = Buffer.concat([
      Buffer.from('\n \n'),
      Buffer.from(text.replace('train', 'tra\xefn').replace('red', 'r\xe9d'), 'latin1'),
    ]);
    expect(await failure({ ...files, [name]: content })).toMatch(/line 3: .*(is not UTF-8)/);
  });

  test('a data.yaml with a wrong name or a second document', async () => {
    const { 'data.yaml': yaml, ...rest } = files;
    const dir = await folders.make({ ...rest, 'data.yml': yaml });
    await expect(readManifest(dir)).rejects.toThrow(
      `${dir}/data.yml: the description of a data folder is data.yaml; rename it`,
    );
    const two = await folders.make({ ...rest, 'data.yaml': `${String(yaml)}---\n${String(yaml)}` });
    await expect(readManifest(two)).rejects.toThrow(/data\.yaml: line 4: a second description begins after '---'/);
    const home = await folders.make({ ...rest, 'data.yaml': String(yaml).replace('train.json', '~/train.json') });
    await expect(readManifest(home)).rejects.toThrow(
      /line 1: splits\.train\.sentences must be a path, found "~\/train.json": only a shell/,
    );
  });
});

describe('notes', () => {
  test('file, width, counts in English', async () => {
    const data = await open(testData({ images: 1, featureDim: 1 }));
    const [file, all] = dataNotes('train', data);
    expect(file).toMatch(/f\/train\.tsv: 1 image, features of 1 float$/);
    expect(all).toBe(
      'train (train): 1 image, 3 sentences, 1 with an answer; 1 answer left out: not in the answer table',
    );
  });

  test('the share of words that became [UNK]', async () => {
    const files = testData({ images: 1, text: () => ({ img_id: 'image_0', sentf: { x: ['a \u{1F600} b', 'c d'] } }) });
    const data = await open(files);
    expect(data.report).toMatchObject({ words: 5, unknownWords: 1 });
    expect(dataNotes('train', data)[1]).toContain('1 of 5 words (20.0 %) became [UNK]');
  });

  test('the samples that each task can learn from', async () => {
    const text = (i: number) => (i === 0 ? { img_id: 'image_0', sentf: { x: ['a cat', ''] } } : testText(i));
    const { report } = await open(testData({ images: 3, text }));
    expect(report.samplesOf).toEqual({ maskedLm: 7, matched: 8, objects: 8, qa: 2 });
    const one = await open(testData({ images: 1, text }));
    expect(one.report.samplesOf).toEqual({ maskedLm: 1, matched: 0, objects: 2, qa: 0 });
  });

  test('images that validation and training share', async () => {
    const train = await open(testData({ images: 4 }));
    const valid = await open(testData({ images: 6, text: (i) => testText(Math.max(i, 3)) }));
    expect(overlapNote(train, valid)).toBe('overlap: 1 image of validation is in training, too');
    expect(overlapNote(train, train)).toBe('overlap: 4 images of validation are in training, too');
    const other = await open({ ...testData({ images: 6, text: (i) => testText(Math.max(i, 4)) }) });
    expect(overlapNote(train, other)).toBeUndefined();
  });
});

describe('images that a run leaves out later', () => {
  const bad: TestImage = {
    ...testImage(5, 5, 6),
    features: testImage(5, 5, 6).features.map((v, i) => (i === 9 ? NaN : v)),
  };
  const files = testData({ images: 8, objects: () => 5 });
  const images = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => testImage(i, 5, 6));
  const damaged: Files = {
    ...files,
    'f/train.tsv': tsvText(images.map((image, i) => (i === 5 ? bad : image))),
    'skip.txt': 'image_5\nimage_99\n',
  };

  async function firstBatches(
    files: Files,
    skip: boolean,
    options: { inMemory?: boolean; workers?: number; batchSize?: number },
  ) {
    const { batchSize = 4, workers = 0, inMemory } = options;
    const dir = await folders.make(files);
    const lists = skip ? [join(dir, 'skip.txt')] : [];
    const data = await openPretrainData({ dir, splits: 'train', wordPiece, skip: lists, inMemory });
    const batches = [];
    const rates = { random: 0, masked: 0.8 };
    for await (const { parts } of trainBatches(data, { seed: 3, batchSize, workers, rates })) {
      batches.push(parts.flatMap(samplesOf));
      if (batches.length * batchSize >= 48) break;
    }
    const valid = [];
    for await (const batch of validBatches(data, { batchSize, rates })) valid.push(...samplesOf(batch));
    await data.close();
    return { batches, valid, data };
  }

  test('the run ends at such an image and says how to continue', async () => {
    await expect(firstBatches(damaged, false, { inMemory: false })).rejects.toThrow(
      /line 6: features must be finite, found NaN .*\(image "image_5"\)\. To continue without this image, .*--exclude FILE/,
    );
    await expect(firstBatches(damaged, false, { inMemory: true })).rejects.toThrow(/line 6: .*--exclude FILE/);
  });

  test.each([
    { inMemory: false, workers: 0 },
    { inMemory: true, workers: 0 },
  ])('all other samples come in the same order with the same values: %j', async (options) => {
    const whole = await firstBatches(files, false, options);
    const rest = await firstBatches(damaged, true, options);
    const others = (batch: readonly { id: string }[]) => batch.filter(({ id }) => !id.startsWith('image_5_'));
    expect(rest.batches).toEqual(whole.batches.map(others));
    expect(rest.valid).toEqual(others(whole.valid));
    expect(rest.data.report.skipped).toEqual([
      { file: expect.stringMatching(/skip\.txt$/), ids: 2, images: 1, sentences: 3, unknownIds: 1 },
    ]);
    expect(rest.data.report.samplesOf).toEqual({ maskedLm: 21, matched: 21, objects: 21, qa: 7 });
  });

  test('a batch whose samples are all left out takes the next sample', async () => {
    const { batches } = await firstBatches(damaged, true, { batchSize: 1 });
    expect(batches.every((batch) => batch.length === 1 && !batch[0].id.startsWith('image_5_'))).toBe(true);
  });

  test('its objects do not replace objects of other images', async () => {
    const dir = await folders.make(damaged);
    const skip = [join(dir, 'skip.txt')];
    const data = await openPretrainData({ dir, splits: 'train', wordPiece, skip, inMemory: false });
    let count = 0;
    for await (const { parts } of trainBatches(data, {
      seed: 3,
      batchSize: 8,
      rates: { random: 1, masked: 0, objects: 1 },
    })) {
      for (const { features } of parts.flatMap(samplesOf)) expect(features.every(Number.isFinite)).toBe(true);
      if (++count === 6) break;
    }
    await data.close();
  });

  test('the samples are still the same as at the start of the run', async () => {
    const began = await samplesIdentity(await open(files));
    const dir = await folders.make(damaged);
    const later = await openPretrainData({ dir, splits: 'train', wordPiece, skip: [join(dir, 'skip.txt')] });
    const now = await samplesIdentity(later);
    expect(samplesDifference(began.checksum, now)).toBeUndefined();
    expect(samplesDifference(began.former, now)).toBeUndefined();
  });

  test('a list that leaves out all images is refused', async () => {
    const all = {
      ...files,
      'skip.txt': '["image_0","image_1","image_2","image_3","image_4","image_5","image_6","image_7"]',
    };
    const dir = await folders.make(all);
    await expect(openPretrainData({ dir, splits: 'train', wordPiece, skip: [join(dir, 'skip.txt')] })).rejects.toThrow(
      /all 24 sentences are left out by .*skip\.txt/,
    );
  });
});

describe('whether samples are the same', () => {
  const files = testData({ images: 6 });
  const identityOf = async (changed: Files, options: Partial<OpenPretrainOptions> = {}) => {
    const data = await open({ ...files, ...changed }, options);
    const identity = await samplesIdentity(data);
    await data.close();
    return identity;
  };
  const images = [0, 1, 2, 3, 4, 5].map((i) => testImage(i, 3 + (i % 4), 6));
  const differs = async (changed: Files, options: Partial<OpenPretrainOptions> = {}) =>
    samplesDifference((await identityOf({})).checksum, await identityOf(changed, options));

  test('another folder, another order of lines, reading from disk, other line ends: the same', async () => {
    const turned = tsvText([...images].reverse());
    expect(await differs({})).toBeUndefined();
    expect(await differs({ 'f/train.tsv': turned })).toBeUndefined();
    expect(await differs({ 'f/train.tsv': turned.replaceAll('\n', '\r\n') }, { inMemory: false })).toBeUndefined();
    expect(await differs({ 'f/train.tsv': tsvText([testImage(77, 2, 6), ...images]) })).toBeUndefined();
  });

  test('a vocabulary of the same content at another path is the same, another one is not', async () => {
    const vocabulary = async (pieces: readonly string[]) => {
      const dir = await folders.make({ 'vocab.txt': `${pieces.join('\n')}\n` });
      return WordPiece.load({ vocabFile: join(dir, 'vocab.txt') });
    };
    expect(await differs({}, { wordPiece: await vocabulary(wordPiece.pieces) })).toBeUndefined();
    // The changed piece is in no sentence.
    const other = wordPiece.pieces.map((piece) => (piece === '##yst' ? '##yyst' : piece));
    expect(await differs({}, { wordPiece: await vocabulary(other) })).toMatch(/the vocabulary/);
  });

  test.each<[string, (image: TestImage) => TestImage, RegExp]>([
    ['features of zeros', (image) => ({ ...image, features: image.features.map(() => 0) }), /values of boxes/],
    ['one changed feature', (image) => ({ ...image, features: [7, ...image.features.slice(1)] }), /values of boxes/],
    ['other boxes', (image) => ({ ...image, boxes: image.boxes.map((value) => value / 2) }), /values of boxes/],
    ['another number of objects', () => testImage(2, 4, 6), /object counts/],
    ['another id', (image) => ({ ...image, id: 'image_2b' }), /image ids/],
  ])('%s', async (name, change, said) => {
    const changed = images.map((image, i) => (i === 2 ? change(image) : image));
    const text =
      name === 'another id'
        ? JSON.stringify(
            [0, 1, 2, 3, 4, 5].map((i) => (i === 2 ? { ...testText(2), img_id: 'image_2b' } : testText(i))),
          )
        : files['train.json'];
    expect(await differs({ 'f/train.tsv': tsvText(changed), 'train.json': text })).toMatch(said);
  });

  test('other sentences, another order of sentences, or another width: not the same', async () => {
    const texts = [0, 1, 2, 3, 4, 5].map(testText);
    expect(await differs({ 'train.json': JSON.stringify([...texts].reverse()) })).toMatch(/their order/);
    const reworded = texts.map((text, i) =>
      i === 3 ? { ...text, sentf: { ...text.sentf, mscoco: ['red', 'blue'] } } : text,
    );
    expect(await differs({ 'train.json': JSON.stringify(reworded) })).toMatch(/sentences/);
    expect(
      await differs({ 'f/train.tsv': tsvText([0, 1, 2, 3, 4, 5].map((i) => testImage(i, 3 + (i % 4), 7))) }),
    ).toMatch(/^the samples/);
  });

  test('a checksum of an earlier release is compared by the rule of that release', async () => {
    const now = await identityOf({});
    expect(now.former).toMatch(/^[0-9a-f]{16}$/);
    expect(samplesDifference(now.former, now)).toBeUndefined();
    expect(samplesDifference('0'.repeat(16), now)).toMatch(/^the samples/);
    expect(samplesDifference(`3:${'0'.repeat(16)}`, now)).toMatch(/of another lxmert/);
  });
});

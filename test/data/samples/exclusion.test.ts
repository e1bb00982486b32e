import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readExclusionList } from '../../../src/data/samples/exclusion.js';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import { samplesIdentity } from '../../../src/data/samples/identity.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { TestFolders, testData, testText } from '../support/samples.js';

const folders = new TestFolders();
let wordPiece: WordPiece;
beforeAll(async () => {
  wordPiece = await WordPiece.load();
});
afterAll(() => folders.remove());

const fileWith = async (content: string | Uint8Array) => join(await folders.make({ list: content }), 'list');
const idsOf = async (content: string | Uint8Array) => [...(await readExclusionList(await fileWith(content)))];

describe('readExclusionList', () => {
  test.each<[string, string, string[]]>([
    ['one id a line', 'a\nb\nc\n', ['a', 'b', 'c']],
    ['comments, blank lines, blanks around, repeated ids', '# test set\n a \n\n\tb # why\n#c\na\n', ['a', 'b']],
    ['carriage returns, a byte order mark, no line feed at the end', '\ufeffa\r\nb\r\nc', ['a', 'b', 'c']],
    ['a # within an id', 'a#1\n', ['a#1']],
    ['an empty file', '', []],
    ['comments alone', '# nothing\n', []],
    ['a JSON list', ' \n["a", "b c", "d,e", "a"]\n', ['a', 'b c', 'd,e']],
    ['a JSON list with a byte order mark', '\ufeff["a"]', ['a']],
    ['an empty JSON list', '[]', []],
  ])('%s', async (_, content, ids) => {
    expect(await idsOf(content)).toEqual(ids);
  });

  test.each<[string | Uint8Array, string]>([
    ['a\nb c\n', 'line 2: must be one image id, found "b c"'],
    ['a,b\n', 'line 1: must be one image id, found "a,b"'],
    ['\n\na\u0000b\n', 'line 3: must be one image id'],
    [Buffer.from([0x61, 0x0a, 0xff, 0xfe, 0x0a]), 'line 2: is not UTF-8 text'],
    ['["a", 7]', '[1] must be an image id (a string), found 7'],
    ['["a", ""]', '[1] must be an image id (a string), found ""'],
    ['["a", ["b"]]', '[1] must be an image id (a string), found a list of 1'],
    ['["a",\n "b"', 'ends within [1]: the file is cut off'],
    ['["a",\n b]', 'near line 2: [1] is not JSON'],
    ['["a"]\n"b"', 'near line 2: there is something after the end of the list'],
  ])('%j is refused', async (content, message) => {
    const file = await fileWith(content);
    await expect(readExclusionList(file)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining(`${file}: ${message}`),
    });
  });

  test('a missing file and a folder', async () => {
    const dir = await folders.make();
    await expect(readExclusionList(join(dir, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(readExclusionList(dir)).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: expect.stringContaining('a list of image ids to leave out'),
    });
  });

  test('any bytes give either ids without blanks, or an error with the file', async () => {
    const piece = fc.constantFrom('a', 'b', '[', ']', '"', ',', '#', ' ', '\n', '\r', '\t', '\\', '{', '\u0000', 'é');
    const text = fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.from(pieces.join('')));
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, fc.uint8Array({ maxLength: 40 })), async (bytes) => {
        const file = await fileWith(bytes);
        const json = Buffer.from(bytes)
          .toString('latin1')
          .replace('\u00ef\u00bb\u00bf', '')
          .trimStart()
          .startsWith('[');
        try {
          for (const id of await readExclusionList(file)) expect(id).toMatch(json ? /\S/ : /^[^\s,]+$/);
        } catch (error) {
          expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
          expect((error as Error).message).toContain(file);
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test('reads the ids that were written', async () => {
    const id = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => text.trim() !== '');
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(id, { maxLength: 8 }), async (ids) => {
        expect(await idsOf(JSON.stringify(ids))).toEqual(ids);
        const plain = ids.filter((one) => /^[^\s,#[\p{Cc}]+$/u.test(one));
        expect(await idsOf(plain.map((one) => `${one}\n`).join(''))).toEqual(plain);
      }),
      { seed: 1, numRuns: 100 },
    );
  });
});

describe('images left out', () => {
  test('their sentences and features are left out; the report counts what each list removed', async () => {
    const files = testData({ images: 8, text: (i) => testText(i) });
    const dir = await folders.make({
      ...files,
      // Image 90 has text, but no features; image 7 has features, but no text.
      'train.json': JSON.stringify([0, 1, 2, 3, 4, 5, 6, 90].map(testText)),
      'one.txt': 'image_1\nimage_2\nimage_90\nimage_7\nnobody\n',
      'two.json': JSON.stringify(['image_2', 'image_3', 'nobody', 'none']),
      'three.txt': '# for later\n',
    });
    const exclude = ['one.txt', 'two.json', 'three.txt'].map((name) => join(dir, name));
    // With image 90, more than the allowed share of sentences would be missing.
    await expect(openPretrainData({ dir, splits: 'train', wordPiece })).rejects.toThrow('3 of 24 sentences are not in');
    const data = await openPretrainData({ dir, splits: 'train', wordPiece, exclude });
    expect(data.report).toMatchObject({
      sentences: 12,
      images: 4,
      imagesWithoutSentences: 0,
      sentencesWithoutImage: 0,
      excluded: [
        { file: exclude[0], ids: 5, images: 3, sentences: 9, unknownIds: 1 },
        { file: exclude[1], ids: 4, images: 1, sentences: 3, unknownIds: 2 },
        { file: exclude[2], ids: 0, images: 0, sentences: 0, unknownIds: 0 },
      ],
    });
    expect([...new Set(data.images)].map((image) => data.imageIds[image])).toEqual([
      'image_0',
      'image_4',
      'image_5',
      'image_6',
    ]);
    await data.close();
  });

  test('change the checksum of the samples; the name of the list does not', async () => {
    const dir = await folders.make({
      ...testData({ images: 4 }),
      'one.txt': 'image_1\n',
      'same.json': '["image_1", "nobody"]',
      'two.txt': 'image_2\n',
    });
    const checksum = async (...lists: string[]) => {
      const exclude = lists.map((name) => join(dir, name));
      const data = await openPretrainData({ dir, splits: 'train', wordPiece, exclude });
      const { checksum: text } = await samplesIdentity(data);
      await data.close();
      return text;
    };
    const one = await checksum('one.txt');
    expect(one).toMatch(/^2:[0-9a-f]{16}:[0-9a-f]{16}$/);
    expect(await checksum('same.json')).toBe(one);
    expect(await checksum('two.txt')).not.toBe(one);
    expect(await checksum()).not.toBe(one);
  });

  test('it is an error if all of a split is left out, or a list cannot be read', async () => {
    const dir = await folders.make({ ...testData({ images: 2 }), list: 'image_0\nimage_1\n' });
    const open = (...exclude: string[]) => openPretrainData({ dir, splits: 'train', wordPiece, exclude });
    await expect(open(join(dir, 'list'))).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: `${join(dir, 'train.json')}: all 6 sentences are left out by ${join(dir, 'list')}`,
    });
    await expect(open(join(dir, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });
});

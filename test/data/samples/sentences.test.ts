import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readJsonArray } from '../../../src/formats/jsonArray.js';
import { readSentences } from '../../../src/data/samples/sentences.js';
import type { ImageSentences } from '../../../src/data/samples/sentences.js';
import { TestFolders } from '../support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

async function json(content: string | Uint8Array): Promise<string> {
  return join(await folders.make({ 'a.json': content }), 'a.json');
}

async function elements(file: string): Promise<unknown[]> {
  const found: unknown[] = [];
  await readJsonArray(file, 'a list', (element, index) => {
    expect(index).toBe(found.length);
    found.push(element);
  });
  return found;
}

async function sentences(file: string): Promise<ImageSentences[]> {
  const found: ImageSentences[] = [];
  await readSentences(file, (image) => found.push(image));
  return found;
}

describe('readJsonArray', () => {
  test('gives the same as JSON.parse, for any formatting', async () => {
    const file = await json('[]');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 1, '\t'), async (values, indent) => {
        await writeFile(file, JSON.stringify(values, undefined, indent));
        expect(await elements(file)).toEqual(JSON.parse(JSON.stringify(values)));
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test('accepts brackets, quotes and backslashes in strings, and a byte order mark', async () => {
    const values = ['a]b', '"', '\\', '\\"]', { '}{': ['[', '\\\\'] }, 'ü€😀'];
    expect(await elements(await json(`\ufeff \n${JSON.stringify(values)}\n `))).toEqual(values);
  });

  test('accepts elements that are longer than one read', async () => {
    const values = Array.from({ length: 12 }, (_, i) => ({ i, text: `"${String(i)}\\`.repeat(250_000) }));
    const text = JSON.stringify(values);
    expect(text.length).toBeGreaterThan(8 * 2 ** 20);
    expect(await elements(await json(text))).toEqual(values);
  });

  test.each([
    ['', 'is empty, a JSON list was expected (a list)'],
    ['  \n', 'is empty'],
    ['{"a": 1}', 'near line 1: a JSON list was expected (a list), found "{"'],
    ['\n\n"x"', 'near line 3: a JSON list'],
    ['[1, 2', 'ends within [1]: the file is cut off'],
    ['[{"a": "b]', 'ends within [0]: the file is cut off'],
    ['[1,\n2,\n{"a" 3}]', 'near line 3: [2] is not JSON'],
    ['[1, 2,]', '[2] is not JSON'],
    ['[,1]', '[0] is not JSON'],
    ['[1] [2]', 'there is something after the end of the list'],
    ['[1}]', '[0] is not JSON'],
  ])('%j is refused', async (text, message) => {
    const file = await json(text);
    await expect(elements(file)).rejects.toMatchObject({ code: 'BAD_DATA', message: expect.stringContaining(message) });
    await expect(elements(file)).rejects.toThrow(file);
  });

  test('text that is not UTF-8 is refused', async () => {
    const bytes = Buffer.from('["good", "bad \xff"]', 'latin1');
    await expect(elements(await json(bytes))).rejects.toThrow('[1] is not UTF-8');
  });

  test('a missing file and a folder are refused', async () => {
    const dir = await folders.make();
    await expect(elements(join(dir, 'none.json'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(elements(dir)).rejects.toMatchObject({ code: 'FILE_ACCESS' });
  });

  test('accepts exactly the lists that JSON.parse accepts', async () => {
    const file = await json('');
    const piece = fc.constantFrom('[', ']', '{', '}', ',', ':', '"', '\\', '1', 'null', '"a"', ' ', '\n', '-', '\\"');
    let accepted = 0;
    const check = async (text: string) => {
      await writeFile(file, text);
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        expected = undefined;
      }
      const found = await elements(file).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
      });
      expect(found).toEqual(Array.isArray(expected) ? expected : undefined);
      if (found !== undefined) accepted++;
    };
    const loose = fc.array(piece, { maxLength: 12 }).map((pieces) => `[${pieces.join('')}]`);
    await fc.assert(fc.asyncProperty(loose, check), { seed: 1, numRuns: 500 });
    const valid = JSON.stringify([{ a: ['x', '\\"'] }, 'b', 1.5]);
    const damaged = fc
      .tuple(fc.nat({ max: valid.length - 1 }), piece)
      .map(([at, text]) => valid.slice(0, at) + text + valid.slice(at + 1));
    await fc.assert(fc.asyncProperty(damaged, check), { seed: 1, numRuns: 500 });
    expect(accepted).toBeGreaterThan(20);
  });
});

describe('readSentences', () => {
  test('gives images with their sentences and labels', async () => {
    const file = await json(
      JSON.stringify([
        { img_id: 'a', sentf: { mscoco: ['one', 'two'], vqa: ['three?'] }, labelf: { vqa: [{ yes: 1, no: 0.3 }] } },
        { img_id: 'b', sentf: { mscoco: ['four'] } },
        { img_id: 'c', sentf: {}, labelf: {} },
      ]),
    );
    expect(await sentences(file)).toEqual([
      {
        imageId: 'a',
        sets: [
          { name: 'mscoco', sentences: ['one', 'two'], labels: undefined },
          { name: 'vqa', sentences: ['three?'], labels: [{ yes: 1, no: 0.3 }] },
        ],
      },
      { imageId: 'b', sets: [{ name: 'mscoco', sentences: ['four'], labels: undefined }] },
      { imageId: 'c', sets: [] },
    ]);
  });

  const fine = '{"img_id":"a","sentf":{}}';
  test.each([
    ['5', '[1] must be an object with img_id and sentf, found 5'],
    ['null', '[1] must be an object with img_id and sentf, found null'],
    ['[]', '[1] must be an object with img_id and sentf, found a list of 0'],
    ['{"sentf":{}}', '[1].img_id must be a string that is not empty, found nothing'],
    ['{"img_id":7,"sentf":{}}', '[1].img_id must be a string that is not empty, found 7'],
    ['{"img_id":"","sentf":{}}', '[1].img_id must be a string that is not empty, found ""'],
    ['{"img_id":"a"}', '[1].sentf must be an object of lists of sentences, found nothing'],
    ['{"img_id":"a","sentf":["x"]}', '[1].sentf must be an object of lists of sentences, found a list of 1'],
    ['{"img_id":"a","sentf":{"vqa":"x"}}', '[1].sentf.vqa must be a list of sentences, found "x"'],
    ['{"img_id":"a","sentf":{"vqa":["x","y","z",{}]}}', '[1].sentf.vqa[3] must be a sentence, found an object with 0'],
    ['{"img_id":"a","sentf":{},"labelf":[]}', '[1].labelf must be an object of lists of labels, found a list of 0'],
    ['{"img_id":"a","sentf":{},"labelf":null}', '[1].labelf must be an object of lists of labels, found null'],
    [
      '{"img_id":"a","sentf":{"gqa":[]},"labelf":{"vqa":[{}]}}',
      '[1].labelf.vqa must be a name in sentf too, found "gqa"',
    ],
    ['{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":{}}}', '[1].labelf.vqa must be a list of labels, found an'],
    [
      '{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":[{},{}]}}',
      '[1].labelf.vqa must be as long as sentf.vqa (1), found a list of 2',
    ],
    ['{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":["no"]}}', '[1].labelf.vqa[0] must be an object of answers'],
    [
      '{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":[{"no":"1"}]}}',
      '[1].labelf.vqa[0]["no"] must be a score from 0, found "1"',
    ],
    ['{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":[{"no":-1}]}}', '[1].labelf.vqa[0]["no"] must be a score'],
    ['{"img_id":"a","sentf":{"vqa":["x"]},"labelf":{"vqa":[{"no":1e999}]}}', 'found Infinity'],
    [
      '{"img_id":"a","sentf":{"constructor":["x"]},"labelf":{"toString":[]}}',
      '[1].labelf.toString must be a name in sentf',
    ],
  ])('%s is refused', async (element, message) => {
    await expect(sentences(await json(`[${fine},${element}]`))).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining(message),
    });
  });

  test('names of built-in properties, such as __proto__, are ordinary names', async () => {
    const text =
      '[{"img_id":"a","sentf":{"__proto__":["x"],"constructor":["y"]},"labelf":{"constructor":[{"__proto__":1}]}}]';
    const [{ sets }] = await sentences(await json(text));
    expect(sets.map(({ name, labels }) => [name, labels?.map((label) => Object.entries(label))])).toEqual([
      ['__proto__', undefined],
      ['constructor', [[['__proto__', 1]]]],
    ]);
  });

  test('everything that is read has the right form; everything else is refused', async () => {
    const file = await json('');
    const record = fc.record(
      {
        img_id: fc.oneof(fc.string(), fc.jsonValue()),
        sentf: fc.oneof(fc.dictionary(fc.constantFrom('vqa', 'gqa'), fc.array(fc.string())), fc.jsonValue()),
        labelf: fc.oneof(
          fc.dictionary(fc.constantFrom('vqa', 'gqa'), fc.array(fc.dictionary(fc.string(), fc.float()))),
          fc.jsonValue(),
        ),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(record, fc.jsonValue()), { maxLength: 3 }), async (values) => {
        await writeFile(file, JSON.stringify(values));
        let images: ImageSentences[];
        try {
          images = await sentences(file);
        } catch (error) {
          expect(error).toMatchObject({
            name: 'LxmertError',
            code: 'BAD_DATA',
            message: expect.stringContaining(file),
          });
          return;
        }
        expect(images).toHaveLength(values.length);
        for (const { imageId, sets } of images) {
          expect(imageId.length).toBeGreaterThan(0);
          for (const set of sets) {
            expect(set.sentences.every((sentence) => typeof sentence === 'string')).toBe(true);
            expect(set.labels === undefined || set.labels.length === set.sentences.length).toBe(true);
          }
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

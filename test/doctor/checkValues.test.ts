import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { checkValues } from '../../src/doctor/checkValues.js';
import { TestFolders, testData, testImage, tsvFields, tsvText } from '../data/support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

const check = async (tsv: string) => {
  const dir = await folders.make({ ...testData({ images: 3 }), 'f/train.tsv': tsv });
  const shares: number[] = [];
  const [file] = await checkValues({
    sources: { flags: { data: dir, valid: 'none' } },
    progress: (_, share) => shares.push(share),
  });
  expect(file.path).toBe(join(dir, 'f/train.tsv'));
  return { ...file, shares };
};

test('reports no damage for a good file', async () => {
  const file = await check(tsvText([0, 1, 2].map((i) => testImage(i, 3, 6))));
  expect(file).toMatchObject({ images: 3, objects: 9, featureDim: 6, remarks: [], bad: [] });
  expect(file.shares.at(-1)).toBe(1);
});

test('names every damaged image with its line, for all kinds of damage', async () => {
  const images = Array.from({ length: 12 }, (_, i) => testImage(i, 3, 6));
  const damage: Readonly<Record<number, (fields: string[]) => void>> = {
    1: (fields) =>
      (fields[9] = Buffer.from(Float32Array.from({ length: 18 }, (_, i) => (i === 7 ? NaN : 1)).buffer).toString(
        'base64',
      )),
    4: (fields) => (fields[8] = '*' + fields[8].slice(1)),
    7: (fields) => (fields[1] = '0'),
    9: (fields) => (fields[9] = tsvFields(testImage(9, 3, 5))[9]),
    11: (fields) => (fields[9] = Buffer.from(Float32Array.from({ length: 18 }, () => 1e20).buffer).toString('base64')),
  };
  const lines = images.map((image, i) => {
    const fields = tsvFields(image);
    damage[i]?.(fields);
    return `${fields.join('\t')}\n`;
  });
  const { bad, images: count } = await check(lines.join(''));
  expect(count).toBe(12);
  expect(bad.map(({ imageId }) => imageId)).toEqual(['image_1', 'image_4', 'image_7', 'image_9', 'image_11']);
  expect(bad.map(({ problem }) => problem.replace(/^.*?: /, '').replace(/ \(image .*/, ''))).toEqual([
    'line 2: features must be finite, found NaN for object 1, value 1',
    'line 5: boxes is not base64: found "*" at character 1',
    'line 8: img_h must be an integer from 1 to 999999999, found "0"',
    'line 10: features has 5 floats an object, line 1 has 6',
    expect.stringMatching(/^line 12: features must be at most 1e6 in size, found 100000002004087730000 for object 0/),
  ]);
});

test('a missing data folder is an error', async () => {
  await expect(checkValues({ sources: {} })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
});

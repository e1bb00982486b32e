/** Tests feature files with mistakes of other programs, and damaged copies. The message must name the mistake. */
import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { openFeatureTsv } from '../../../src/data/features/featureTsv.js';
import { TestFolders, testImage, tsvFields, tsvText } from '../support/samples.js';
import type { TestImage } from '../support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

const labels = { objectLabels: 16, attributeLabels: 8 };
const columns = 'img_id img_h img_w objects_id objects_conf attrs_id attrs_conf num_boxes boxes features'.split(' ');
type Changes = Readonly<Record<string, string>>;

async function fileOf(content: string | Uint8Array): Promise<string> {
  return join(await folders.make({ 'a.tsv': content }), 'a.tsv');
}

const open = async (content: string | Uint8Array, inMemory = true) =>
  openFeatureTsv(await fileOf(content), { ...labels, inMemory });

async function messageOf(content: string | Uint8Array, inMemory = true): Promise<string> {
  const error: unknown = await open(content, inMemory).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
  return (error as Error).message.replace(/^\/\S*\/a\.tsv: /, '');
}

/** A file with three images, whose second line is changed. */
function withLine(changes: Changes, image: TestImage = testImage(1, 3, 16)): string {
  const fields = tsvFields(image).map((value, i) => changes[columns[i]] ?? value);
  return `${tsvText([testImage(0, 2, 16)])}${fields.join('\t')}\n${tsvText([testImage(2, 2, 16)])}`;
}

const base64 = (array: NodeJS.TypedArray) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
const floats = (values: readonly number[]) => base64(Float32Array.from(values));

/** The bits of a float16 near a number. */
function half(value: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  const exponent = ((bits >>> 23) & 255) - 112;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** Numbers like those of a detector: many zeros, and other numbers around 1. */
const roi = (count: number) =>
  Array.from({ length: count }, (_, i) => Math.max(0, 1.5 * Math.sin(i * 12.9898) + Math.sin(i * 3.7) + 0.4));

describe('boxes that are no pixel boxes', () => {
  const shares = (image: TestImage): TestImage => ({
    ...image,
    boxes: image.boxes.map((value, i) => value / (i % 2 === 0 ? image.width : image.height)),
  });

  test('shares of the picture are refused with the first line of the file', async () => {
    const text = tsvText([0, 1, 2].map((i) => shares(testImage(i, 3, 4))));
    expect(await messageOf(text)).toMatch(
      /^line 1: boxes all lie within one pixel: they look like shares .* \(image "image_0"\)$/,
    );
  });

  test('shares on one line of a file of pixels are refused with that line', async () => {
    const text = tsvText([testImage(0, 3, 4), shares(testImage(1, 3, 4)), testImage(2, 3, 4)]);
    expect(await messageOf(text)).toMatch(/^line 2: boxes all lie within one pixel/);
  });

  test('shares are refused in a file of images of one object, too', async () => {
    const text = tsvText([0, 1, 2].map((i) => shares(testImage(i, 1, 4))));
    expect(await messageOf(text)).toMatch(/^line 1: boxes and those of all other lines all lie within one pixel/);
  });

  test('one small box among others is kept', async () => {
    const image = { ...testImage(0, 2, 4), boxes: [0, 0, 1, 1, 5, 5, 60, 50] };
    expect((await open(tsvText([image]))).imageIds).toEqual(['image_0']);
  });

  test.each([
    ['x', [30, 5, 20, 50], 'x0 is 30, x1 is 20'],
    ['y', [10, 50, 20, 5], 'y0 is 50, y1 is 5'],
  ])('corners in the wrong order in %s are refused', async (_, box, said) => {
    const text = withLine({ boxes: floats([0, 0, 9, 9, ...box, 1, 1, 8, 8]) });
    for (const inMemory of [true, false]) {
      const message = await messageOf(text, inMemory);
      expect(message).toContain('line 2: boxes of object 1 has its corners in the wrong order');
      expect(message).toContain(said);
      expect(message).toContain('(image "image_1")');
    }
  });

  test('boxes as x, y, width, height are refused if a width is less than x; otherwise there is a remark', async () => {
    const small = Array.from({ length: 40 }, (_, i) => ({
      ...testImage(i, 3, 4),
      boxes: [10, 10, 20, 20, 30, 20, 60, 40, 5, 5, 90, 40],
    }));
    const { remarks } = await open(tsvText(small));
    expect(remarks).toEqual(['every box would fit as x, y, width, height, too; x0, y0, x1, y1 are needed']);
  });

  test('swapped height and width are named if boxes show the mistake', async () => {
    const image = { ...testImage(1, 3, 16), boxes: [0, 0, 150, 90, 5, 5, 190, 80, 1, 1, 20, 20] };
    expect(await messageOf(withLine({ img_h: '200', img_w: '100' }, image))).toBe(
      'line 2: img_h and img_w look swapped: boxes reach x 190 and y 90 in a picture 100 wide and 200 high (image "image_1")',
    );
  });

  test('if one box is outside but would fit with swapped sides, the message says both', async () => {
    const image = { ...testImage(1, 3, 16), boxes: [0, 0, 150, 90, 5, 5, 90, 80, 1, 1, 20, 20] };
    expect(await messageOf(withLine({ img_h: '200', img_w: '100' }, image))).toMatch(
      /^line 2: boxes of object 0 lies outside the picture: x1 is 150, from 0 to 100 was expected; are img_h and img_w/,
    );
  });

  test('boxes without area are accepted with a remark', async () => {
    const image = { ...testImage(1, 2, 4), boxes: [0, 0, 0, 0, 5, 5, 5, 9] };
    const { remarks } = await open(tsvText([testImage(0, 2, 4), image]));
    expect(remarks).toEqual(['2 boxes without area (first on line 2)']);
  });
});

describe('numbers of another type', () => {
  const values = roi(12 * 32);

  test.each<[string, string, RegExp]>([
    ['float64', base64(Float64Array.from(values)), /features (must be at most 1e6|must be finite|have)/],
    ['float64 of float32 numbers', base64(Float64Array.from(Float32Array.from(values))), /features (must be|have)/],
    ['float64 of whole numbers', base64(Float64Array.from(values, (v) => Math.round(8 * v))), /every other place/],
    ['float16', base64(Uint16Array.from(values, half)), /as float16 read as float32 has/],
    ['big-endian float32', Buffer.from(Float32Array.from(values).buffer).swap32().toString('base64'), /features/],
    ['a number near 2^63', floats(values.map((v, i) => (i === 40 ? 2 ** 63 : v))), /found 9223372036854776000 for/],
  ])('%s is refused when the file is opened, from memory and from disk', async (_, features, said) => {
    for (const inMemory of [true, false]) {
      const message = await messageOf(withLine({ features }, testImage(1, 12, 32)).split('\n')[1] + '\n', inMemory);
      expect(message).toMatch(said);
      expect(message).toMatch(/^line 1: .* \(image "image_1"\)$/);
    }
  });

  test('features of a detector are accepted, also if they are negative, large or all zeros', async () => {
    const all = [values, values.map((v) => -300 * v), values.map(() => 0), values.map((v, i) => (i === 7 ? 9e5 : v))];
    const images = all.map((features, i) => ({ ...testImage(i, 12, 32), features }));
    expect((await open(tsvText(images))).reader.featureDim).toBe(32);
  });

  test.each([
    ['objects_id', base64(Int32Array.of(1, 2, 3)), 'are they int32? int64 is needed'],
    ['attrs_conf', base64(Float64Array.of(0.1, 0.2, 0.3)), 'are they float64? float32 is needed'],
    ['objects_conf', base64(Uint16Array.of(1, 2, 3)), 'are they float16? float32 is needed'],
    ['boxes', base64(Float64Array.from([0, 0, 9, 9, 0, 0, 9, 9, 0, 0, 9, 9])), 'are they float64? float32 is needed'],
    ['boxes', tsvFields(testImage(1, 4, 16))[8].replace(/=+$/, ''), 'line 2: boxes has'],
  ])('%s of another type is named: %#', async (field, value, said) => {
    expect(await messageOf(withLine({ [field]: value }))).toContain(said);
  });
});

describe('the reported field and line', () => {
  test.each(['2', '4'])('num_boxes %s if all arrays have 3 objects', async (count) => {
    expect(await messageOf(withLine({ num_boxes: count }))).toBe(
      `line 2: num_boxes is ${count}, but 5 of the 5 arrays that it counts are of 3 objects (image "image_1")`,
    );
  });

  test('the one array that differs from num_boxes and all other arrays', async () => {
    expect(await messageOf(withLine({ attrs_id: tsvFields(testImage(1, 2, 16))[5] }))).toMatch(
      /^line 2: attrs_id has 24 characters of base64, 32 were expected for num_boxes 3/,
    );
  });

  test('the first line, if its features are narrower than all others', async () => {
    const text = tsvText([testImage(0, 2, 15), testImage(1, 2, 16), testImage(2, 2, 16)]);
    expect(await messageOf(text)).toBe('line 1: features has 15 floats an object, line 3 has 16 (image "image_0")');
  });

  test.each([
    [[16, 15, 16], 2],
    [[16, 16, 15, 15], 3],
    [[16, 15], 2],
  ])('widths %j: line %i', async (widths, line) => {
    const text = tsvText(widths.map((width, i) => testImage(i, 2, width)));
    expect(await messageOf(text)).toMatch(new RegExp(`^line ${line}: features has 15 floats an object`));
  });

  test('if the last line ends after a whole float, the message says that the line is cut off', async () => {
    // 3 objects of 16 floats are 256 characters; 192 of them are 3 objects of 12.
    const text = tsvText([testImage(0, 3, 16), testImage(1, 3, 16)]).slice(0, -1 - 64);
    const message = await messageOf(text);
    expect(message).toContain('line 2: features has 12 floats an object, line 1 has 16');
    expect(message).toContain('the last line has no line feed: the file is probably cut off');
  });

  test('a note reports a file of one line without a line feed', async () => {
    const { remarks, reader } = await open(tsvText([testImage(0, 3, 16)]).slice(0, -1 - 64));
    expect(reader.featureDim).toBe(12);
    expect(remarks).toEqual(['its only line has no line feed at the end: the file may be cut off']);
  });
});

describe('image ids with invisible or wrong characters', () => {
  test.each([
    ['image_1 ', 'has white space at its end'],
    [' image_1', 'has white space at its start'],
    ['image_1\u00a0', 'has white space at its end'],
    ['image_1\r', 'has the invisible character U+000D in it'],
    ['image_1\u0000', 'has the invisible character U+0000 in it'],
    ['image\u200b_1', 'has the invisible character U+200B in it'],
    ['\uFEFFimage_1', 'has a byte order mark in it, as when two files were joined'],
    ['"image_1"', 'is in quotation marks'],
    ["b'image_1'", "is written as Python's b'…'"],
  ])('%j is refused', async (id, said) => {
    const message = await messageOf(withLine({ img_id: id }));
    expect(message).toMatch(/^line 2: img_id must be a name/);
    expect(message).toContain(said);
  });

  test('a file that was joined from two files with byte order marks is refused at the second mark', async () => {
    const part = (i: number) => `\uFEFF${tsvText([testImage(i, 2, 4), testImage(i + 1, 2, 4)])}`;
    expect(await messageOf(part(0) + part(2))).toMatch(/^line 3: img_id .* byte order mark/);
  });

  test('ids with blanks inside, or in other scripts, are accepted', async () => {
    const ids = ['a b', 'train2014/0001.jpg', 'Фото 1', '図_1'];
    const images = ids.map((id, i) => ({ ...testImage(i, 2, 4), id }));
    expect((await open(tsvText(images))).imageIds).toEqual(ids);
  });
});

describe('files that are not a TSV', () => {
  const text = tsvText([testImage(0, 2, 4), testImage(1, 2, 4)]);
  const zip = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(40, 1), Buffer.from(text)]);

  test.each<[string, string | Uint8Array]>([
    ['is packed by gzip', gzipSync(text)],
    ['is a zip archive', zip],
    ['is packed by xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3])],
    ['is packed by zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3])],
    ['is packed by bzip2', 'BZh91AY&SY'],
    ['is an HDF5 file', Buffer.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])],
    ['is a numpy array (npy)', Buffer.from([0x93, ...Buffer.from('NUMPY\x01')])],
    ['is a Python pickle', Buffer.from([0x80, 0x04, 0x95, 1, 2])],
    ['is UTF-16 text', Buffer.from(`\uFEFF${text}`, 'utf16le')],
    ['is UTF-16 text', Buffer.from(`\uFEFF${text}`, 'utf16le').swap16()],
    ['is UTF-16 text', Buffer.from(text, 'utf16le')],
    ['is a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n'],
    ['is a git-annex pointer', '/annex/objects/SHA256E-s3--12.tsv\n'],
    ['is an HTML or XML page', '<!DOCTYPE html>\n<html><body>Sign in</body></html>\n'],
    ['is an HTML or XML page', '\n  <html lang="en">\n'],
    ['is full of zero bytes', Buffer.alloc(4096)],
  ])('%s', async (said, content) => {
    expect(await messageOf(content)).toMatch(
      new RegExp(`^${said.replace(/[()]/g, '\\$&')}; expected a feature TSV\\. `),
    );
  });

  test.each<[string, string, string]>([
    ['blanks for tabs', text.replaceAll('\t', '    '), 'there are blanks instead of tabs'],
    ['commas for tabs', text.replaceAll('\t', ','), 'its columns are separated by ","'],
    [
      'carriage returns alone',
      text.replaceAll('\n', '\r'),
      'its lines end with a carriage return instead of a line feed',
    ],
    ['zero bytes at the end', `${text}${'\0'.repeat(100)}`, 'line 3: has 1 tab-separated columns'],
    ['a heading', `${columns.join('\t')}\n${text}`, 'this line is a heading'],
    ['a number in quotation marks', text.replace('\t100\t', '\t"100"\t'), 'must not be in quotation marks'],
  ])('%s', async (_, content, said) => {
    expect(await messageOf(content)).toContain(said);
  });

  test.each(['objects_id', 'objects_conf', 'boxes', 'features'])("%s written as Python's b'…'", async (field) => {
    for (const quote of ["'", '"']) {
      const value = tsvFields(testImage(1, 3, 16))[columns.indexOf(field)];
      expect(await messageOf(withLine({ [field]: `b${quote}${value}${quote}` }))).toMatch(
        new RegExp(`^line 2: ${field} is written as Python's b'…'.*\\(image "image_1"\\)$`),
      );
    }
  });

  test.each(['objects_id', 'boxes', 'features'])('%s in base64 for URLs', async (field) => {
    const at = columns.indexOf(field);
    const value = tsvFields(testImage(1, 3, 16))[at];
    const url = `-_${value.slice(2).replaceAll('+', '-').replaceAll('/', '_')}`;
    expect(await messageOf(withLine({ [field]: url }))).toMatch(
      new RegExp(`^line 2: ${field} is not base64: found "-" at character 1; it is base64 for URLs`),
    );
  });

  test('base64 without its = at the end', async () => {
    const value = tsvFields(testImage(1, 4, 16))[3].replace(/=+$/, '');
    expect(value).toHaveLength(43);
    expect(await messageOf(withLine({ objects_id: value }, testImage(1, 4, 16)))).toContain(
      'the = at its end is missing',
    );
  });
});

describe('images that may be damaged', () => {
  const bad = { ...testImage(1, 3, 16), features: testImage(1, 3, 16).features.map((v, i) => (i === 20 ? NaN : v)) };
  const text = tsvText([testImage(0, 2, 16), bad, testImage(2, 2, 16)]);

  test('keep their place; reading one fails with line and image', async () => {
    for (const inMemory of [true, false]) {
      const file = await fileOf(text);
      const source = await openFeatureTsv(file, { ...labels, inMemory, mayFail: (id) => id === 'image_1' });
      expect(source.imageIds).toEqual(['image_0', 'image_1', 'image_2']);
      const rows = {
        features: new Float32Array(48),
        boxes: new Float32Array(12),
        objectIds: new Int32Array(3),
        objectConfs: new Float32Array(3),
        attrIds: new Int32Array(3),
        attrConfs: new Float32Array(3),
      };
      await expect(source.reader.read(1, rows, 0)).rejects.toThrow(
        'line 2: features must be finite, found NaN for object 1, value 4 (image "image_1")',
      );
      await source.reader.read(2, rows, 0);
      expect(rows.features[0]).toBe(3);
      expect(source.reader.placeOf(2)).toBe(`${file}: line 3`);
      await source.reader.close();
    }
  });

  test('are skipped if their line is not a record', async () => {
    const file = await fileOf(withLine({ objects_id: 'x' }));
    const source = await openFeatureTsv(file, { ...labels, mayFail: (id) => id === 'image_1' });
    expect(source.imageIds).toEqual(['image_0', 'image_2']);
    await expect(openFeatureTsv(file, labels)).rejects.toThrow('line 2: objects_id');
  });
});

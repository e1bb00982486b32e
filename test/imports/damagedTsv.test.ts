/** For every fault of a TSV, the import must report the fault and its place, for plain and for packed files. */
import { existsSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from '@jest/globals';
import { importInThread, madeUpTsv, storedZip, temporaryFolder } from './support.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const columns = ['img_id', 'img_h', 'img_w', 'objects_id', 'objects_conf', 'attrs_id', 'attrs_conf', 'num_boxes'];
const [boxes, features] = [8, 9];
const dim = 16;
const whole = madeUpTsv(4, { dim });
const lines = whole.trimEnd().split('\n');

/** The file with its second line changed. */
const withLine = (line: string): string => [lines[0], line, ...lines.slice(2), ''].join('\n');

/** Likewise, with one column changed. */
function withColumn(column: number | string, change: (text: string) => string): string {
  const fields = lines[1].split('\t');
  const at = typeof column === 'number' ? column : columns.indexOf(column);
  return withLine(fields.map((text, i) => (i === at ? change(text) : text)).join('\t'));
}

/** Likewise, with the float32 numbers of a column changed. */
const withFloats = (column: number | string, change: (values: Float32Array) => NodeJS.TypedArray): string =>
  withColumn(column, (text) => base64(change(floatsOf(text))));
/** Likewise, with one of these numbers changed. */
const withFloat = (column: number | string, at: number, value: number): string =>
  withFloats(column, (values) => values.with(at, value));
const withId = (column: string, at: number, id: bigint): string =>
  withColumn(column, (text) => {
    const ids = new BigInt64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
    return base64(ids.with(at, id));
  });
/** All lines with the float32 numbers of a column changed. */
const allFloats = (column: number, change: (values: Float32Array) => NodeJS.TypedArray): string =>
  lines
    .map((line) => {
      const fields = line.split('\t');
      return fields.map((text, i) => (i === column ? base64(change(floatsOf(text))) : text)).join('\t');
    })
    .map((line) => `${line}\n`)
    .join('');

const floatsOf = (text: string) => new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
const base64 = (values: NodeJS.TypedArray) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
const padded = (text: string) => text.replace(/.....$/, '');
const swapped = (values: Float32Array) => new Uint8Array(Buffer.from(values.slice().buffer).swap32());
const mark = '\uFEFF';

/** The fault, the file, and the text that the message must contain after the file's name. */
const faults: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['cut in the last line', whole.slice(0, -200), /line 4: features has \d+ characters .*cut off/],
  [
    'cut where whole floats remain',
    whole.slice(0, -1 - 4 * 8 * 6),
    /line 4: features has 10 floats an object, the images before have 16/,
  ],
  ['cut behind a tab', whole.slice(0, whole.lastIndexOf('\t', whole.lastIndexOf('\t') - 1)), /line 4: has 8 tab-sep/],
  ['base64 that is cut', withColumn(features, padded), /line 2: features has \d+ characters of base64/],
  [
    'a character that is none of base64',
    withColumn(features, (t) => `${t.slice(0, 77)}*${t.slice(78)}`),
    /line 2: features is not base64: found "\*" at character 78/,
  ],
  [
    'base64 for URLs',
    withColumn(features, (t) => `-${t.slice(1).replaceAll('+', '-').replaceAll('/', '_')}`),
    /line 2: features is not base64: .*base64 for URLs/,
  ],
  [
    'a box too few',
    withFloats(boxes, (v) => v.slice(4)),
    /line 2: boxes has 64 characters of base64, 88 were expected/,
  ],
  [
    'another width',
    withFloats(features, (v) => v.slice(4)),
    /line 2: features has 15 floats an object, the images before have 16/,
  ],
  ['num_boxes too large', withColumn('num_boxes', () => '5'), /line 2: num_boxes is 5, but .* are of 4 objects/],
  ['num_boxes of zero', withColumn('num_boxes', () => '0'), /line 2: num_boxes must be an integer from 1 .* found "0"/],
  [
    'a width that is no integer',
    withColumn('img_w', () => '640.0'),
    /line 2: img_w must be an integer .* found "640\.0"/,
  ],
  ['a box outside', withFloat(boxes, 6, 643), /line 2: boxes of object 1 lies outside the picture: x1 is 643/],
  ['a box upside down', withFloat(boxes, 6, 1), /line 2: boxes of object 1 has its corners in the wrong order/],
  ['height and width swapped', withLine(lines[1].replace('480\t640', '640\t240')), /line 2: (boxes|img_h and img_w)/],
  [
    'NaN in features',
    withFloat(features, 3 * dim + 7, NaN),
    /line 2: features must be finite, found NaN for object 3, value 7/,
  ],
  [
    'infinity in features',
    withFloat(features, 3 * dim + 7, -Infinity),
    /line 2: features must be finite, found -Infinity/,
  ],
  ['NaN in boxes', withFloat(boxes, 1, NaN), /line 2: boxes must be finite, found NaN for object 0, y0/],
  [
    'a confidence above 1',
    withFloat('objects_conf', 3, 1.5),
    /line 2: objects_conf must be from 0 to 1, found 1\.5 for object 3/,
  ],
  ['a confidence below 0', withFloat('attrs_conf', 3, -0.25), /line 2: attrs_conf must be from 0 to 1, found -0\.25/],
  [
    'a class too large',
    withId('objects_id', 1, 1600n),
    /line 2: objects_id must be from 0 to 1599, found 1600 for object 1/,
  ],
  ['a class below 0', withId('attrs_id', 1, -1n), /line 2: attrs_id must be from 0 to 399, found -1 for object 1/],
  [
    'classes as int32',
    withColumn('objects_id', () => base64(Int32Array.of(1, 2, 3, 4))),
    /line 2: objects_id .*are they int32/,
  ],
  ['an id twice', `${whole}${lines[1]}\n`, /line 5: the image id "image_1" was already on line 2/],
  ['nine columns', withLine(lines[1].split('\t').toSpliced(6, 1).join('\t')), /line 2: has 9 tab-separated columns/],
  ['spaces in place of tabs', whole.replaceAll('\t', '    '), /line 1: has 1 tab-separated columns.* blanks/],
  ["Python's b'…'", withColumn('objects_id', (t) => `b'${t}'`), /line 2: objects_id is written as Python's b'…'/],
  ['a heading', `${[...columns, 'boxes', 'features'].join('\t')}\n${whole}`, /line 1: .*this line is a heading/],
  ['nothing', '', /no images in it/],
  ['a byte order mark alone', mark, /no images in it/],
  ['zero bytes at the end', `${whole}${'\0'.repeat(4096)}`, /line 5: .*full of zero bytes/],
  ['UTF-16', Buffer.from(mark + whole, 'utf16le'), /is UTF-16 text/],
  ['a byte order mark in the middle', withLine(mark + lines[1]), /line 2: img_id .*byte order mark/],
  ['a space behind the id', withColumn('img_id', (t) => `${t} `), /line 2: img_id .*white space at its end/],
  [
    'base64 without its =',
    withColumn(boxes, (t) => t.replace(/=+$/, '')),
    /line 2: boxes .*the = at its end is missing/,
  ],
  ['quotation marks', whole.replaceAll(/[^\t\n]+/g, '"$&"'), /line 1: img_id .*in quotation marks/],
  [
    'carriage returns alone',
    whole.replaceAll('\n', '\r'),
    /line 1: has more .*its lines end with a carriage return instead of a line feed/,
  ],
  [
    'boxes as shares',
    allFloats(boxes, (v) => v.map((x, i) => x / (i % 2 ? 480 : 640))),
    /line 1: boxes all lie within one pixel/,
  ],
  [
    'boxes as x, y, width, height',
    allFloats(boxes, (v) => v.map((x, i) => (i % 4 < 2 ? x + 400 : 20))),
    /line 1: boxes of object 0 has its corners/,
  ],
  ['big-endian features', allFloats(features, swapped), /line 1: features must be/],
  [
    'features as float64',
    allFloats(features, (v) => Float64Array.from(v, (x) => x + 0.1)),
    /line 1: features (must|have)/,
  ],
];

const packings: readonly (readonly [string, (text: Buffer) => Buffer])[] = [
  ['a.tsv', (text) => text],
  ['a.tsv.gz', (text) => gzipSync(text, { level: 1 })],
  ['a.zip', (text) => storedZip([['inner/a.tsv', text]])],
];

describe.each(packings)('%s', (name, pack) => {
  test.each(faults)('%s', async (what, content, message) => {
    const input = folder.path(`${what.replaceAll(/\W/g, '-')}-${name}`);
    writeFileSync(input, pack(Buffer.from(content)));
    const out = `${input}.store`;
    const error: unknown = await importInThread(input, out).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'BAD_DATA', message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(input);
    expect([existsSync(out), existsSync(`${out}.importing`)]).toEqual([false, false]);
  });

  test('is read where nothing is wrong', async () => {
    const input = folder.path(`whole-${name}`);
    writeFileSync(input, pack(Buffer.from(whole)));
    expect((await importInThread(input, `${input}.store`)).manifest.images).toBe(4);
  });
});

test('a TSV that is packed by gzip under the name of a plain one is read, and told', async () => {
  const input = folder.path('no-gz.tsv');
  writeFileSync(input, gzipSync(whole));
  const notes: string[] = [];
  const { manifest } = await importInThread(input, folder.path('no-gz'), { onNote: (note) => notes.push(note) });
  expect([manifest.images, notes]).toEqual([4, [expect.stringContaining('is packed by gzip')]]);
});

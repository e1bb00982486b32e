import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allocateObjectRows } from '../../../src/data/features/featureSource.js';
import type { FeatureSource } from '../../../src/data/features/featureSource.js';
import { openFeatureTsv } from '../../../src/data/features/featureTsv.js';
import { mergeSources } from '../../../src/data/features/mergedFeatures.js';
import { FeatureFiles } from '../../../src/data/features/openFeatures.js';
import { readImage } from '../support/readImage.js';
import { TestFolders, testImage, tsvFields, tsvLine, tsvText } from '../support/samples.js';
import type { TestImage } from '../support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

const labels = { objectLabels: 16, attributeLabels: 8 };

async function tsv(text: string | Uint8Array): Promise<string> {
  return join(await folders.make({ 'a.tsv': text }), 'a.tsv');
}

async function checkContents(source: FeatureSource, images: readonly TestImage[]): Promise<void> {
  expect(source.imageIds).toEqual(images.map(({ id }) => id));
  for (const [i, image] of images.entries()) {
    expect(source.indexOf(image.id)).toBe(i);
    expect(source.reader.numObjects(i)).toBe(image.objectIds.length);
    const record = await readImage(source, i);
    expect(record.imageId).toBe(image.id);
    expect(record.features).toEqual(Float32Array.from(image.features));
    expect([...record.objectIds]).toEqual(image.objectIds);
    expect([...record.attrIds]).toEqual(image.attrIds);
    expect(record.objectConfs).toEqual(Float32Array.from(image.objectConfs));
    expect(record.attrConfs).toEqual(Float32Array.from(image.attrConfs));
    expect(record.boxes).toEqual(
      Float32Array.from(image.boxes, (pixel, k) => pixel / (k % 2 === 0 ? image.width : image.height)),
    );
  }
}

describe.each([{ inMemory: true }, { inMemory: false }])('a feature TSV ($inMemory)', (where) => {
  const options = { ...labels, ...where };

  test('gives back what was written, with boxes as shares of the picture', async () => {
    const images = [testImage(0, 4, 5), testImage(1, 1, 5), testImage(2, 36, 5)];
    const source = await openFeatureTsv(await tsv(tsvText(images)), options);
    expect(source.reader.featureDim).toBe(5);
    expect(source.imageIds).toHaveLength(3);
    expect(source.indexOf('image_9')).toBe(-1);
    await checkContents(source, images);
    await source.reader.close();
    await source.reader.close();
  });

  test('reads an image into the middle of rows and leaves the others alone', async () => {
    const source = await openFeatureTsv(await tsv(tsvText([testImage(0, 3, 4), testImage(1, 2, 4)])), options);
    const rows = allocateObjectRows(5, 4);
    rows.features.fill(-1);
    await source.reader.read(1, rows, 2);
    expect([...rows.features.subarray(0, 8)]).toEqual(new Array(8).fill(-1));
    expect([...rows.features.subarray(16)]).toEqual(new Array(4).fill(-1));
    expect(rows.features.subarray(8, 16)).toEqual(Float32Array.from(testImage(1, 2, 4).features));
    await source.reader.close();
  });

  test('reads the feature of one object, for every width and place', async () => {
    for (const featureDim of [1, 2, 3, 4, 7]) {
      const image = testImage(5, 7, featureDim);
      const source = await openFeatureTsv(await tsv(tsvText([testImage(1, 2, featureDim), image])), options);
      for (let object = 0; object < 7; object++) {
        const into = new Float32Array(featureDim + 2);
        await source.reader.readFeature(1, object, into, 1);
        const feature = image.features.slice(object * featureDim, (object + 1) * featureDim);
        expect(into).toEqual(Float32Array.from([0, ...feature, 0]));
      }
      await source.reader.close();
    }
  });

  test('takes a byte order mark, carriage returns, blank lines and a last line without line feed', async () => {
    const images = [testImage(0, 2, 3), testImage(1, 3, 3)];
    const source = await openFeatureTsv(
      await tsv(`\ufeff${tsvLine(images[0])}\r\n\n\r\n${tsvLine(images[1])}`),
      options,
    );
    await checkContents(source, images);
    await source.reader.close();
  });

  test('takes lines that are longer than a read', async () => {
    // Two lines of 3.4 MB and one of 8.5 MB, around the 4 MiB in which the file is read.
    const images = [testImage(0, 2, 320_000), testImage(1, 2, 320_000), testImage(2, 5, 320_000)];
    const source = await openFeatureTsv(await tsv(tsvText(images)), options);
    for (const [i, image] of images.entries()) {
      const { features } = await readImage(source, i);
      expect(features.length).toBe(image.features.length);
      expect(Buffer.from(features.buffer).equals(Buffer.from(Float32Array.from(image.features).buffer))).toBe(true);
    }
    await source.reader.close();
  });

  test('keeps a box that is outside by rounding as it is', async () => {
    const image = { ...testImage(0, 1, 2), width: 100_000, boxes: [-0.9, 0, 100_000.9, 100] };
    const source = await openFeatureTsv(await tsv(tsvText([image])), options);
    const { boxes } = await readImage(source, 0);
    expect(boxes[0]).toBeCloseTo(-9e-6, 9);
    expect(boxes[2]).toBeGreaterThan(1);
    await source.reader.close();
  });
});

/** A damaged second line, by the change that damages it. */
const good = testImage(1, 3, 4);
type Damage = [name: string, line: string, field: string, problem: string];

const damage: readonly Damage[] = [
  change('img_id', '', 'must be a name in UTF-8'),
  change('img_id', 'image_0', '"image_0" was already on line 1'),
  ...['', 'x', '0', '-5', '12.5', '1e3', '99999999999'].map((text) =>
    change('img_h', text, 'must be an integer from 1'),
  ),
  change('img_w', '0', 'found "0"'),
  ...['', '0', '3.0', 'three', '-3', '1000000'].map((text) => change('num_boxes', text, 'must be an integer from 1')),
  change('num_boxes', '4', 'is 4, but 5 of the 5 arrays that it counts are of 3 objects'),
  change('objects_id', longs([1, 16, 2]), 'must be from 0 to 15, found 16 for object 1'),
  change('objects_id', longs([1, -1, 2]), 'found -1 for object 1'),
  change('objects_id', longs([1, 2 ** 32, 2]), 'found 4294967296 for object 1'),
  change('attrs_id', longs([8, 1, 2]), 'must be from 0 to 7, found 8 for object 0'),
  change('objects_conf', floats([0.5, NaN, 0.1]), 'must be finite, found NaN for object 1'),
  change('objects_conf', floats([0.5, 0.1, 1.5]), 'must be from 0 to 1, found 1.5 for object 2'),
  change('attrs_conf', floats([-0.5, 0.1, 0.5]), 'found -0.5 for object 0'),
  change('boxes', floats([0, 0, 9, 9, 0, 0, 9, 200, 0, 0, 9, 9]), 'of object 1 lies outside the picture: y1 is 200'),
  change('boxes', floats([0, 0, 9, 9, -1, 0, 9, 9, 0, 0, 9, 9]), 'of object 1 lies outside the picture: x0 is -1'),
  change('features', floats([1, 2, 3, 4, 5, 6, Infinity, 8, 9, 10, 11, 12]), 'found Infinity for object 1, value 2'),
  change('features', floats([1, 2, 3, 4, 5, 6]), 'has 2 floats an object, line 1 has 4'),
  change('features', floats([1, 2, 3, 4]), 'which is no whole number of floats for each of num_boxes 3'),
  change('features', '', 'has 0 characters of base64'),
  change('features', tsvFields(good)[9].slice(0, -3), 'no whole number of floats'),
  change('features', `${tsvFields(good)[9].slice(0, 8)}*${tsvFields(good)[9].slice(9)}`, 'found "*" at character 9'),
  change('features', `${tsvFields(good)[9].slice(0, 8)}-${tsvFields(good)[9].slice(9)}`, 'found "-" at character 9'),
  change('features', `${tsvFields(good)[9].slice(0, 8)}=${tsvFields(good)[9].slice(9)}`, 'found "=" at character 9'),
  change('boxes', `${tsvFields(good)[8].slice(0, 8)} ${tsvFields(good)[8].slice(9)}`, 'found " " at character 9'),
  ['nine columns', tsvFields(good).slice(1).join('\t'), '', 'has 9 tab-separated columns, 10 were expected (img_id,'],
  ['eleven columns', `${tsvLine(good)}\tmore`, '', 'has more tab-separated columns'],
  ['commas', tsvFields(good).join(','), '', 'has 1 tab-separated columns'],
  ['not UTF-8', `\u0000`.repeat(20), '', 'has 1 tab-separated columns'],
];

function change(field: string, value: string, problem = '', message = problem): Damage {
  const names = 'img_id img_h img_w objects_id objects_conf attrs_id attrs_conf num_boxes boxes features'.split(' ');
  const fields = tsvFields(good);
  fields[names.indexOf(field)] = value;
  return [
    `${field} ${JSON.stringify(value).slice(0, 20)} ${message}`,
    fields.join('\t'),
    problem === '' ? '' : field,
    message,
  ];
}

const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function longs(values: readonly number[]): string {
  return Buffer.from(BigInt64Array.from(values, BigInt).buffer).toString('base64');
}

function floats(values: readonly number[]): string {
  return Buffer.from(Float32Array.from(values).buffer).toString('base64');
}

describe('a damaged line is refused with its number and field', () => {
  test.each(damage)('%s', async (_, line, field, problem) => {
    const file = await tsv(`${tsvLine(testImage(0, 2, 4))}\n${line}\n${tsvLine(testImage(2, 2, 4))}\n`);
    const place = `${file}: line 2: ${field}`;
    const expected = {
      code: 'BAD_DATA',
      message: expect.stringMatching(new RegExp(`^${escape(place)}.*${escape(problem)}`)),
    };
    await expect(openFeatureTsv(file, { ...labels, inMemory: true })).rejects.toMatchObject(expected);

    const reading = openFeatureTsv(file, { ...labels, inMemory: false }).then(async (source) => {
      try {
        await readImage(source, 1);
      } finally {
        await source.reader.close();
      }
    });
    await expect(reading).rejects.toMatchObject(expected);
  });

  test('a column that is decoded in pieces, and what is wrong in any of them', async () => {
    // 12,288 floats are two pieces of 32,768 characters; one more of each object begins a third.
    for (const width of [3072, 3073, 10_000]) {
      const image = testImage(1, 4, width);
      await checkContents(await openFeatureTsv(await tsv(tsvText([image])), labels), [image]);
      const fields = tsvFields(image);
      for (const [at, bad] of [
        [0, '!'],
        [32_767, '='],
        [32_768, '-'],
        [fields[9].length - 5, '='],
      ] as const) {
        const spoilt = [...fields.slice(0, 9), `${fields[9].slice(0, at)}${bad}${fields[9].slice(at + 1)}`];
        await expect(
          openFeatureTsv(await tsv(`${spoilt.join('\t')}\n`), labels).then((source) => readImage(source, 0)),
        ).rejects.toMatchObject({
          code: 'BAD_DATA',
          message: expect.stringContaining(`line 1: features is not base64: found "${bad}" at character ${at + 1}`),
        });
      }
    }
  });

  test('base64 of more bytes than the column has, in as many characters', async () => {
    const fields = tsvFields(testImage(0, 1, 4));
    expect(fields[4]).toMatch(/==$/);
    fields[4] = fields[4].replace('==', 'AA');
    await expect(openFeatureTsv(await tsv(`${fields.join('\t')}\n`), labels)).rejects.toThrow(
      'line 1: objects_conf is not base64 of the right length',
    );
  });

  test('a file that is cut off says so', async () => {
    const text = tsvText([testImage(0, 2, 4), testImage(1, 2, 4)]);
    const file = await tsv(text.slice(0, -30));
    await expect(openFeatureTsv(file, labels)).rejects.toThrow(/line 2: features .*the file is probably cut off/);
  });

  test.each([
    ['', 'no images in it'],
    ['\n\n', 'no images in it'],
    [
      'img_id\timg_h\timg_w\tobjects_id\tobjects_conf\tattrs_id\tattrs_conf\tnum_boxes\tboxes\tfeatures\n',
      'line 1: img_h',
    ],
  ])('%j', async (text, message) => {
    await expect(openFeatureTsv(await tsv(text), labels)).rejects.toThrow(message);
  });

  test('a missing file and a folder', async () => {
    const dir = await folders.make();
    await expect(openFeatureTsv(join(dir, 'none.tsv'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(new FeatureFiles().open([join(dir, 'none.tsv')], {})).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await expect(openFeatureTsv(dir)).rejects.toMatchObject({ code: 'FILE_ACCESS' });
    await expect(new FeatureFiles().open([dir], {})).rejects.toMatchObject({ code: 'BAD_DATA' });
  });

  test('a damaged feature is found when it is read alone', async () => {
    const fields = tsvFields(good);
    fields[9] = floats([1, 2, 3, 4, NaN, 6, 7, 8, 9, 10, 11, 12]);
    // The first images are looked at when the file is opened.
    const whole = tsvText([10, 11, 12, 13, 14, 15].map((i) => testImage(i, 1, 4)));
    const source = await openFeatureTsv(await tsv(`${whole}${fields.join('\t')}\n`), { ...labels, inMemory: false });
    const into = new Float32Array(4);
    await source.reader.readFeature(6, 0, into, 0);
    await expect(source.reader.readFeature(6, 1, into, 0)).rejects.toThrow(
      'line 7: features must be finite, found NaN for object 1, value 0 (image "image_1")',
    );
    await source.reader.close();
  });

  test('a file that changes while it is open', async () => {
    const images = [testImage(0, 2, 4), testImage(1, 2, 4)];
    const file = await tsv(tsvText(images));
    const source = await openFeatureTsv(file, { ...labels, inMemory: false });
    await writeFile(file, tsvText([images[0], { ...images[1], id: 'image_7' }]));
    await expect(readImage(source, 1)).rejects.toThrow('line 2: has changed since the file was opened');
    await truncate(file, 300);
    await expect(readImage(source, 1)).rejects.toThrow('line 2: is gone: the file has become shorter');
    await source.reader.close();
  });
});

describe('fuzzing', () => {
  const images = [testImage(0, 2, 3), testImage(1, 3, 3), testImage(2, 1, 3)];
  const whole = Buffer.from(tsvText(images));

  /**
   * Returns the data that were read, or the error. Any error except an LxmertError with the file's name is a failure.
   */
  async function readAll(file: string, inMemory: boolean): Promise<string> {
    try {
      const source = await openFeatureTsv(file, { ...labels, inMemory });
      try {
        const records = [];
        for (let i = 0; i < source.imageIds.length; i++) records.push(await readImage(source, i));
        return JSON.stringify(records);
      } finally {
        await source.reader.close();
      }
    } catch (error) {
      expect(error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA', message: expect.stringContaining(file) });
      return 'refused';
    }
  }

  test('a changed byte is refused or read alike from memory and from disk; no image is dropped or altered unseen', async () => {
    const file = await tsv(whole);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), async (at, byte) => {
        const damaged = Buffer.from(whole);
        damaged[at] = byte;
        await writeFile(file, damaged);
        const fromDisk = await readAll(file, false);
        expect(await readAll(file, true)).toBe(fromDisk);
        if (fromDisk === 'refused') return;
        // A file that was not refused has all images, in order, and all numbers are in range.
        const records = JSON.parse(fromDisk) as { features: object; boxes: object; objectConfs: object }[];
        expect(records).toHaveLength(3);
        for (const { features, boxes, objectConfs } of records) {
          expect(Object.values(features).every(Number.isFinite)).toBe(true);
          expect(Object.values(boxes).every((x: number) => x > -1e-5 && x < 1 + 1e-5)).toBe(true);
          expect(Object.values(objectConfs).every((x: number) => x >= 0 && x <= 1 + 1e-5)).toBe(true);
        }
      }),
      { seed: 1, numRuns: 400 },
    );
  });

  test('a shortened file never loses an image without an error', async () => {
    const file = await tsv(whole);
    const ends = new Set([0, 1, 2].map((i) => Buffer.byteLength(tsvText(images.slice(0, i + 1)))));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (length) => {
        await writeFile(file, whole.subarray(0, length));
        const complete = ends.has(length) || ends.has(length + 1);
        expect((await readAll(file, false)) === 'refused').toBe(!complete);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test('bytes of any kind', async () => {
    const file = await tsv('');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await writeFile(file, bytes);
        expect(await readAll(file, false)).toBe('refused');
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});

describe('fuzzing values', () => {
  const base = testImage(0, 3, 4);
  const replaced = (values: readonly number[], at: number, value: number) =>
    values.map((x, i) => (i === at ? value : x));
  const notFinite = fc.constantFrom(NaN, Infinity, -Infinity);
  const outside = fc.oneof(notFinite, fc.double({ min: 1.001, max: 1e6 }), fc.double({ min: -1e6, max: -0.001 }));
  const outsideBox = fc.oneof(notFinite, fc.double({ min: 201, max: 1e6 }), fc.double({ min: -1e6, max: -0.1 }));
  const badClass = (limit: number) =>
    fc.oneof(fc.integer({ min: -1000, max: -1 }), fc.integer({ min: limit, max: 1e9 }));

  const damages: readonly [field: string, fc.Arbitrary<TestImage>][] = [
    [
      'boxes',
      fc.tuple(fc.nat({ max: 11 }), outsideBox).map(([at, x]) => ({ ...base, boxes: replaced(base.boxes, at, x) })),
    ],
    [
      'features',
      fc
        .tuple(fc.nat({ max: 11 }), notFinite)
        .map(([at, x]) => ({ ...base, features: replaced(base.features, at, x) })),
    ],
    [
      'objects_conf',
      fc
        .tuple(fc.nat({ max: 2 }), outside)
        .map(([at, x]) => ({ ...base, objectConfs: replaced(base.objectConfs, at, x) })),
    ],
    [
      'attrs_conf',
      fc.tuple(fc.nat({ max: 2 }), outside).map(([at, x]) => ({ ...base, attrConfs: replaced(base.attrConfs, at, x) })),
    ],
    [
      'objects_id',
      fc
        .tuple(fc.nat({ max: 2 }), badClass(16))
        .map(([at, x]) => ({ ...base, objectIds: replaced(base.objectIds, at, x) })),
    ],
    [
      'attrs_id',
      fc.tuple(fc.nat({ max: 2 }), badClass(8)).map(([at, x]) => ({ ...base, attrIds: replaced(base.attrIds, at, x) })),
    ],
  ];

  test.each(damages)('a bad value in %s is refused by name, in memory and from disk', async (field, damaged) => {
    const file = await tsv('');
    await fc.assert(
      fc.asyncProperty(damaged, fc.boolean(), async (image, inMemory) => {
        await writeFile(file, tsvText([testImage(1, 2, 4), image]));
        const readAll = async () => {
          const source = await openFeatureTsv(file, { ...labels, inMemory });
          try {
            await readImage(source, 1);
          } finally {
            await source.reader.close();
          }
        };
        await expect(readAll()).rejects.toMatchObject({
          code: 'BAD_DATA',
          message: expect.stringContaining(`${file}: line 2: ${field} `),
        });
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  test('an id that comes again is refused with both lines, wherever it is', async () => {
    const file = await tsv('');
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 5 }), fc.nat({ max: 5 }), async (a, b) => {
        fc.pre(a !== b);
        const images = Array.from({ length: 6 }, (_, i) => testImage(i, 1 + (i % 2), 4));
        images[Math.max(a, b)] = { ...images[Math.max(a, b)], id: images[Math.min(a, b)].id };
        await writeFile(file, tsvText(images));
        await expect(openFeatureTsv(file, labels)).rejects.toThrow(
          `line ${Math.max(a, b) + 1}: img_id "image_${Math.min(a, b)}" was already on line ${Math.min(a, b) + 1}`,
        );
      }),
      { seed: 1, numRuns: 30 },
    );
  });
});

describe('mergeSources', () => {
  test('numbers the images of several files through; the first file that has an image gives it', async () => {
    const one = [testImage(0, 2, 3), testImage(1, 3, 3)];
    const two = [{ ...testImage(5, 1, 3), id: 'image_1' }, testImage(2, 4, 3)];
    const merged = mergeSources([
      await openFeatureTsv(await tsv(tsvText(one)), labels),
      await openFeatureTsv(await tsv(tsvText(two)), labels),
    ]);
    await checkContents(merged, [...one, two[1]]);
    const into = new Float32Array(3);
    await merged.reader.readFeature(2, 3, into, 0);
    expect(into).toEqual(Float32Array.from(two[1].features.slice(9, 12)));
    await merged.reader.close();
  });

  test('refuses different widths', async () => {
    const sources = [
      await openFeatureTsv(await tsv(tsvText([testImage(0, 2, 3)])), labels),
      await openFeatureTsv(await tsv(tsvText([testImage(1, 2, 4)])), labels),
    ];
    expect(() => mergeSources(sources)).toThrow(/the same width: .* has 3 floats an object, .* has 4/);
  });
});

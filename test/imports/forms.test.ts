import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../src/data/store/openStore.js';
import { fieldBits } from '../../src/data/store/storeForm.js';
import { fixture, forms, importInThread, storedZip, temporaryFolder } from './support.js';

type Expected = Record<string, Record<string, Record<string, string | number>>>;

const expected = JSON.parse(readFileSync(join(forms, 'expected.json'), 'utf8')) as Expected;
const folder = temporaryFolder();
afterAll(() => folder.remove());

const digest = (values: NodeJS.TypedArray): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex')
    .slice(0, 16);

/** The contents of a store, in the form of `expected.json`. */
async function contentsOf(path: string): Promise<Record<string, Record<string, string | number>>> {
  const { index, imageIds, reader } = await openStore(path);
  try {
    const found: Record<string, Record<string, string | number>> = {};
    for (const [image, id] of imageIds.entries()) {
      const record = await reader.rawRecord(image);
      const has = index.fields[image];
      const wide = (ids: Int32Array) => BigInt64Array.from(ids, BigInt);
      found[id] = {
        ...(record.attrConfs && { attribute_confidences: digest(record.attrConfs) }),
        ...(record.attrIds && { attribute_ids: digest(wide(record.attrIds)) }),
        [has & fieldBits.shares ? 'boxes_norm' : 'boxes']: digest(record.boxes),
        ...(record.objectIds && { class_ids: digest(wide(record.objectIds)) }),
        ...(record.objectConfs && { confidences: digest(record.objectConfs) }),
        features: digest(record.features),
        ...(has & fieldBits.size && { height: index.heights[image], width: index.widths[image] }),
      };
    }
    return found;
  } finally {
    await reader.close();
  }
}

describe('each form becomes a store with the same numbers', () => {
  test.each(Object.keys(expected))('%s', async (name) => {
    const out = folder.path(name.replaceAll('/', '-'));
    await importInThread(fixture(name, folder.path), out, { dtype: 'float32' });
    const found = await contentsOf(out);
    expect(found).toEqual(expected[name]);
    // The only order of the files of a folder is that of their names.
    if (name !== 'npz') expect(Object.keys(found)).toEqual(Object.keys(expected[name]));
  });
});

/**
 * Invented images in VinVL's form: a line of features, the line of the label file, and the expected contents of the
 * store.
 */
function vinvlImage(image: number) {
  const [width, height, dim] = [640, 400, 5];
  const count = 2 + image;
  const boxes = Array.from({ length: count }, (_, i) => [i / 64, i / 32, 0.5 + i / 64, 0.5 + i / 32]);
  const features = Array.from({ length: count }, (_, i) =>
    Array.from({ length: dim }, (_, j) => image + i / 4 + j / 32),
  );
  const rows = boxes.flatMap((box, i) => [...features[i], ...box, box[2] - box[0], box[3] - box[1]]);
  const base64 = Buffer.from(Float32Array.from(rows).buffer).toString('base64');
  const confs = boxes.map((_, i) => 1 - i / 16);
  const objects = confs.map((conf, i) => ({ rect: [0, 0, 1, 1], class: `thing ${i}`, conf }));
  const floats = (values: readonly number[]) => digest(Float32Array.from(values));
  return {
    columns: `${image}\t${count}\t${base64}\n`,
    json: `${image}\t${JSON.stringify({ num_boxes: count, features: base64 })}\n`,
    prediction: `${image}\t${JSON.stringify({ image_h: height, image_w: width, objects })}\n`,
    bare: { boxes_norm: floats(boxes.flat()), features: floats(features.flat()) },
    named: { confidences: floats(confs), width, height },
  };
}

describe("VinVL's forms become a store with the same numbers", () => {
  const images = [0, 1, 2].map(vinvlImage);

  test('three columns, with sizes and confidences of the label file', async () => {
    mkdirSync(folder.path('vinvl'));
    const tsv = folder.path('vinvl/features.tsv');
    writeFileSync(tsv, images.map(({ columns }) => columns).join(''));
    writeFileSync(folder.path('vinvl/predictions.tsv'), images.map(({ prediction }) => prediction).join(''));
    await importInThread(tsv, folder.path('vinvl-store'), { dtype: 'float32' });
    const expected = images.map(({ bare, named }, i) => [`${i}`, { ...bare, ...named }]);
    expect(await contentsOf(folder.path('vinvl-store'))).toEqual(Object.fromEntries(expected));
  });

  test('a second column of JSON', async () => {
    const tsv = folder.path('captioning.feature.tsv');
    writeFileSync(tsv, images.map(({ json }) => json).join(''));
    await importInThread(tsv, folder.path('captioning-store'), { dtype: 'float32' });
    const expected = images.map(({ bare }, i) => [`${i}`, bare]);
    expect(await contentsOf(folder.path('captioning-store'))).toEqual(Object.fromEntries(expected));
  });
});

test('npz files inside a zip are read as those of a folder', async () => {
  const zip = folder.path('npz.zip');
  const names = readdirSync(join(forms, 'npz'));
  writeFileSync(
    zip,
    storedZip(names.map((name) => [`features/${name}`, readFileSync(join(forms, 'npz', name))] as const)),
  );
  const { forms: found } = await importInThread(zip, folder.path('npz-of-zip'), { dtype: 'float32' });
  expect(found).toEqual(['npz']);
  expect(await contentsOf(folder.path('npz-of-zip'))).toEqual(expected.npz);
});

test('several files become one store, in the order that is given', async () => {
  const out = folder.path('several');
  const { forms: found } = await importInThread(
    [join(forms, 'vilbert.lmdb'), join(forms, 'train2014_obj.tsv.gz')],
    out,
  );
  expect(found).toEqual(['volta-lmdb', 'tsv']);
  const { imageIds, manifest, reader } = await openStore(out);
  await reader.close();
  expect(imageIds.slice(5, 7)).toEqual(['84002', 'COCO_train2014_000000132417']);
  expect(manifest.has).toMatchObject({ object_ids: 6, size: 12 });
});

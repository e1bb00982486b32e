import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../src/data/store/openStore.js';
import { fieldBits } from '../../src/data/store/storeForm.js';
import { forms, importInThread, temporaryFolder } from './support.js';

type Expected = Record<string, Record<string, Record<string, string | number>>>;

const expected = JSON.parse(readFileSync(join(forms, 'expected.json'), 'utf8')) as Expected;
const folder = temporaryFolder();
afterAll(() => folder.remove());

const digest = (values: NodeJS.TypedArray): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex')
    .slice(0, 16);

/** What a store has, in the words of `expected.json`. */
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
    await importInThread(join(forms, name), out, { dtype: 'float32' });
    const found = await contentsOf(out);
    expect(found).toEqual(expected[name]);
    // Files of a folder have no order but that of their names.
    if (name !== 'npz') expect(Object.keys(found)).toEqual(Object.keys(expected[name]));
  });
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

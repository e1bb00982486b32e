import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../src/data/store/openStore.js';
import { fixture, forms, importInThread, madeUpTsv, temporaryFolder } from './support.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());
/** The name of a damaged fixture. The names of fixtures that are stored packed begin with `packed:`. */
const damaged = (name: string) =>
  name.startsWith('packed:') ? fixture(`packed/damaged/${name.slice(7)}`, folder.path) : join(forms, 'damaged', name);

/** The file, and the text that the message must contain. */
const refused: readonly (readonly [string, RegExp])[] = [
  ['tsv-duplicate-id.tsv', /line 5: the image id "COCO_train2014_000000573195" was already on line 2/],
  ['tsv-class-1600.tsv', /line 2: objects_id must be from 0 to 1599, found 1600 for object 1 .*--classes/],
  ['tsv-cut-in-last-line.tsv', /line 4: features .*cut off/],
  ['zip-cut-short.zip', /damaged or cut short/],
  ['zip-wrong-crc.zip', /'train2014\/train2014_obj\.tsv' has a wrong checksum/],
  ['zip-without-tsv.zip', /is a zip without a TSV; it has 'readme\.txt'/],
  ['zip-name-climbs-out.zip', /\.\.\/\.\.\/outside\.tsv/],
  ['zip-says-encrypted.zip', /'train2014_obj\.tsv' is encrypted/],
  ['zip-of-zeros.zip', /train2014_obj\.tsv: is full of zero bytes/],
  ['gz-cut-short.tsv.gz', /does not unpack/],
  ['gz-cut-in-the-end-mark.tsv.gz', /does not unpack/],
  ['gz-wrong-crc.tsv.gz', /does not unpack: incorrect data check/],
  ['gz-rubbish-behind.tsv.gz', /has \d+ bytes behind the end of its gzip data/],
  ['lmdb-truncated-to-half.lmdb', /data\.mdb: has 22528 bytes, its pages need 45056: it is cut short/],
  ['lmdb-row-with-foreign-class.lmdb', /key 573195: .*'io\.open'/],
  ['lmdb-child-page-outside.lmdb', /key 132417: its value lies on page 1000000000/],
  ['lmdb-not-lmdb.lmdb', /is no LMDB/],
  ['packed:lmdb-keys-with-foreign-class.lmdb', /key keys: .*'io\.open'/],
  ['packed:lmdb-key-without-row.lmdb', /key 999999: the list of keys \(keys\) has it, the database does not/],
  ['packed:lmdb-pickle-cut.lmdb', /key 578174: its pickle: it claims a value of 4533 bytes/],
  ['packed:lmdb-wrong-length.lmdb', /key 573195: num_boxes is 11, but the arrays are of 10 objects/],
  ['npz-object-array.npz', /info: .*'io\.open'/],
  ['npz-features-object-array.npz', /x: .*'io\.open'/],
  ['npz-nan-feature.npz', /x must be finite, found NaN for object 2, value 3/],
  ['npz-counts-differ.npz', /bbox has 11 rows, x has 12/],
  ['npz-without-boxes.npz', /bbox is missing/],
  ['npz-cut-short.npz', /cut short/],
  ['npy-cut-short', /000000573195\.npy: has 540 bytes of numbers, the shape \(10, 16\) of <f4 needs 640/],
  ['npy-info-with-foreign-class', /573195_info\.npy: .*'io\.open'/],
  ['npy-without-info', /573195_info\.npy: is missing/],
  ['npy-header-is-an-expression', /was not evaluated/],
  ['npy-shape-too-large', /the shape \(1000000000000, 16\)/],
  ['h5-truncated.h5', /it is cut short/],
  ['h5-without-boxes.h5', /COCO_train2014_000000573195: boxes or bbox is missing/],
  ['packed:h5-not-hdf5.h5', /it is no HDF5 file/],
  ['packed:h5-nan-feature.h5', /573195: features must be finite, found NaN for object 2, value 3/],
  ['packed:h5-wrong-shape.h5', /573195: boxes has 3 rows, features has 10/],
  ['h5-name-climbs-out.h5', /573195\/boxes is a link to another file or to nothing; it was not followed/],
  ['gqa-index-outside', /image '2': idx is 7, but .*gqa_objects_0\.h5 has 2 images/],
  ['gqa-file-missing', /image '2': its file gqa_objects_3\.h5 is not there/],
  ['vinvl-lineidx-shifted/features.tsv', /features\.lineidx: line 2 says '1424', but line 2 of .* begins at byte 1419/],
  ['vinvl-lineidx-outside/features.tsv', /features\.lineidx: line 3 says '1000000000000'/],
  ['vinvl-index-swapped/features.tsv', /imageid2idx\.json: 132417 says 1/],
  ['vinvl-index-outside/features.tsv', /imageid2idx\.json: 578174 says 9/],
];

describe('a damaged file is refused, and nothing is left behind', () => {
  test.each(refused)('%s', async (name, message) => {
    const out = folder.path(`refused-${name.replaceAll(/[/:]/g, '-')}`);
    await expect(importInThread(damaged(name), out)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(message),
    });
    expect(existsSync(out)).toBe(false);
    expect(existsSync(`${out}.importing`)).toBe(false);
    expect(existsSync('PWNED')).toBe(false);
  });

  test('a VinVL file is read once its wrong index is gone', async () => {
    const input = folder.path('vinvl');
    cpSync(damaged('vinvl-index-swapped'), input, { recursive: true });
    const out = folder.path('vinvl-store');
    writeFileSync(join(input, 'imageid2idx.json'), '{"132417": 0, "573195": 1, "578174": 2}');
    const { manifest, forms: found } = await importInThread(join(input, 'features.tsv'), out, { dtype: 'float32' });
    expect([found, manifest.images, manifest.featureDim, manifest.boxesAsShares]).toEqual([['vinvl-tsv'], 3, 16, 3]);
  });
});

describe('bad records are left out on request', () => {
  const tsv = folder.path('bad.tsv');
  beforeAll(() => {
    const lines = madeUpTsv(6).split('\n');
    lines[2] = lines[2].replace('\t480\t', '\t0\t');
    lines[4] = lines[1];
    writeFileSync(tsv, lines.join('\n'));
  });

  test('the manifest names each, with its place and the reason', async () => {
    const out = folder.path('skipped');
    const { manifest } = await importInThread(tsv, out, { skipBad: true });
    expect(manifest.images).toBe(4);
    expect(manifest.skipped).toEqual([
      { place: `${tsv}: line 3`, image: 'image_2', reason: expect.stringContaining('img_h must be an integer') },
      { place: `${tsv}: line 5`, image: 'image_1', reason: expect.stringContaining('was already on line 2') },
    ]);
    const { imageIds, reader } = await openStore(out);
    await reader.close();
    expect(imageIds).toEqual(['image_0', 'image_1', 'image_3', 'image_5']);
  });

  test('a file of nothing else makes no store', async () => {
    const only = folder.path('only-bad.tsv');
    writeFileSync(only, 'a\tb\n');
    const out = folder.path('only-bad');
    await expect(importInThread(only, out, { skipBad: true })).rejects.toThrow(/only-bad\.tsv: no images in it but 1/);
    expect(existsSync(out)).toBe(false);
  });

  test('a missing row of an LMDB and a NaN of an npz are skipped, too', async () => {
    const out = folder.path('skipped-npz');
    const both = [damaged('npz-nan-feature.npz'), damaged('npz-fortran-order.npz')];
    const { manifest } = await importInThread(both, out, { skipBad: true });
    expect([manifest.images, manifest.skipped.length]).toEqual([1, 1]);
  });
});

test('more classes are taken where they are declared', async () => {
  const out = folder.path('classes');
  const { manifest } = await importInThread(damaged('tsv-class-1600.tsv'), out, { objectLabels: 1601 });
  expect(manifest.objectLabels).toBe(1601);
});

test('boxes without area are told', async () => {
  const notes: string[] = [];
  await importInThread(damaged('tsv-boxes-zero-area.tsv'), folder.path('flat'), { onNote: (text) => notes.push(text) });
  expect(notes).toEqual([expect.stringMatching(/^10 boxes without area, first at .*line 2$/)]);
});

test('a feature beyond float16 names the other dtype', async () => {
  const tsv = folder.path('large.tsv');
  const large = Buffer.from(Float32Array.of(70000, 1, 1, 1, 1, 1, 1, 1).buffer).toString('base64');
  const line = madeUpTsv(1, { objects: () => 1 }).split('\t');
  writeFileSync(tsv, [...line.slice(0, 9), `${large}\n`].join('\t'));
  await expect(importInThread(tsv, folder.path('large'))).rejects.toThrow(
    /70000 for object 0, value 0; .*--dtype float32/,
  );
  const { manifest } = await importInThread(tsv, folder.path('large'), { dtype: 'float32' });
  expect(manifest.images).toBe(1);
});

test('the input stays as it was', () => {
  expect(readFileSync(damaged('tsv-class-1600.tsv')).length).toBe(6444);
});

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allocateObjectRows } from '../../../src/data/features/featureSource.js';
import type { FeatureSource } from '../../../src/data/features/featureSource.js';
import { openFeatureTsv } from '../../../src/data/features/featureTsv.js';
import { FeatureFiles } from '../../../src/data/features/openFeatures.js';
import { openSharedFeatures } from '../../../src/data/features/mergedFeatures.js';
import { exportTsv, mergeStores, storeInfo, verifyStore } from '../../../src/data/store/index.js';
import { openStore, openStoreSource } from '../../../src/data/store/openStore.js';
import { manifestFile } from '../../../src/data/store/storeForm.js';
import { IndexBuilder } from '../../../src/data/store/storeIndex.js';
import { finishStore } from '../../../src/data/store/writeStore.js';
import { SafetensorsFile } from '../../../src/formats/safetensors.js';
import { CompiledCopy } from '../../train/support/compile.js';
import { importInThread, madeUpTsv, temporaryFolder } from '../../imports/support.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const tsv = folder.path('some.tsv');
const store = folder.path('store');

beforeAll(async () => {
  writeFileSync(tsv, madeUpTsv(40));
  await importInThread(tsv, store, { dtype: 'float32', shardBytes: 2000 });
});

async function readAll({ reader, imageIds }: FeatureSource) {
  const found = [];
  for (const [image, id] of imageIds.entries()) {
    const rows = allocateObjectRows(reader.numObjects(image), reader.featureDim);
    await reader.read(image, rows, 0);
    found.push([id, rows]);
  }
  return found;
}

/** Flips a bit of a file. */
async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0] ^= 4;
  await file.write(buffer, 0, 1, at);
  await file.close();
}

/** A copy of the store that the test damages. */
function copyOf(name: string): string {
  const copy = folder.path(name);
  cpSync(store, copy, { recursive: true });
  return copy;
}

const hashesOf = (path: string) =>
  readdirSync(path).map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(path, name)))
      .digest('hex'),
  ]);

describe('reading', () => {
  test('a float32 store gives what the TSV gives, to the bit', async () => {
    const ofTsv = await openFeatureTsv(tsv);
    const ofStore = await openStoreSource(store);
    expect(await readAll(ofStore)).toEqual(await readAll(ofTsv));
    expect(readdirSync(store).filter((name) => name.startsWith('shard')).length).toBeGreaterThan(2);
    await ofStore.reader.close();
    await ofTsv.reader.close();
  });

  test('many images are read at once to their rows, and one feature alone', async () => {
    const { reader } = await openStoreSource(store);
    const images = [39, 0, 7, 7, 21];
    const starts = images.map((_, i) => images.slice(0, i).reduce((sum, image) => sum + reader.numObjects(image), 2));
    const rows = allocateObjectRows(60, reader.featureDim);
    await (reader.readAll ?? (() => undefined)).call(reader, images, rows, starts);
    for (const [i, image] of images.entries()) {
      const alone = allocateObjectRows(reader.numObjects(image), reader.featureDim);
      await reader.read(image, alone, 0);
      const width = reader.featureDim;
      expect(rows.features.slice(starts[i] * width, (starts[i] + alone.objectIds.length) * width)).toEqual(
        alone.features,
      );
      expect(rows.boxes.slice(starts[i] * 4, (starts[i] + alone.objectIds.length) * 4)).toEqual(alone.boxes);
      const feature = new Float32Array(width + 3);
      await reader.readFeature(image, 2, feature, 3);
      expect(feature.slice(3)).toEqual(alone.features.slice(2 * width, 3 * width));
    }
    await reader.close();
    await expect(reader.read(0, rows, 0)).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('float16 is widened to the numbers that it holds', async () => {
    const halves = folder.path('halves');
    await importInThread(tsv, halves);
    const { reader } = await openStoreSource(halves);
    const exact = await openStoreSource(store);
    const a = allocateObjectRows(reader.numObjects(3), reader.featureDim);
    const b = allocateObjectRows(reader.numObjects(3), reader.featureDim);
    await reader.read(3, a, 0);
    await exact.reader.read(3, b, 0);
    for (const [i, value] of a.features.entries())
      expect(Math.abs(value - b.features[i])).toBeLessThanOrEqual(b.features[i] * 2 ** -11);
    expect(a.boxes).toEqual(b.boxes);
    await reader.close();
    await exact.reader.close();
  });

  test('a folder takes the place of a TSV, and another thread opens it by what is shared', async () => {
    const files = new FeatureFiles();
    const { source, opened } = await files.open([store], {});
    expect(opened).toEqual([{ path: store, images: 40, featureDim: 8, remarks: [] }]);
    const again = await openSharedFeatures(structuredClone(source.reader.shared));
    const rows = allocateObjectRows(again.numObjects(5), 8);
    await again.read(5, rows, 0);
    expect(rows.features.some((value) => value > 0)).toBe(true);
    await again.close();
    await files.close();
  });

  test('a shard that gets shorter is an error, not a crash', async () => {
    const copy = copyOf('shortened');
    const { reader } = await openStoreSource(copy);
    truncateSync(join(copy, 'shard-00001.safetensors'), 1100);
    const last = Array.from({ length: 40 }, (_, image) => image).find((image) =>
      reader.placeOf(image).includes('00001'),
    )!;
    const rows = allocateObjectRows(20, 8);
    await expect(reader.read(last + 3, rows, 0)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(/shard-00001\.safetensors: row \d+: is gone.*image "image_/),
    });
    await reader.close();
    await expect(openStoreSource(copy)).rejects.toThrow(/shard-00001\.safetensors: .*cut short/);
  });

  test('with verifyReads a changed number is found when it is read', async () => {
    const copy = copyOf('flipped-read');
    await flip(join(copy, 'shard-00000.safetensors'), 1024 + 40);
    const { reader } = await openStoreSource(copy, { verifyReads: true });
    const rows = allocateObjectRows(20, 8);
    await expect(reader.read(0, rows, 0)).rejects.toThrow(/row 0: has changed since it was imported.*"image_0"/);
    await reader.read(3, rows, 0);
    await reader.close();
  });

  test('shards are safetensors with the images’ rows', async () => {
    const { index, reader } = await openStore(store);
    await reader.close();
    const shard = await SafetensorsFile.open(join(store, 'shard-00000.safetensors'));
    expect([...shard.entries.keys()]).toEqual([
      'features',
      'boxes',
      'object_confs',
      'attr_confs',
      'object_ids',
      'attr_ids',
    ]);
    expect((await shard.readInt32('object_ids')).slice(0, index.counts[0])).toEqual(Int32Array.of(0, 7, 14));
    await shard.close();
  });

  test('180,000 images are open in a second or so', async () => {
    const large = folder.path('large');
    const builder = new IndexBuilder();
    // Makes one shard with a few rows, which are used for all images.
    cpSync(store, large, { recursive: true });
    const { manifest, reader } = await openStore(store);
    await reader.close();
    for (let image = 0; image < 180_000; image++)
      builder.add({
        id: `COCO_train2014_${String(image).padStart(12, '0')}`,
        shard: 0,
        row: 0,
        count: 3,
        width: 640,
        height: 480,
        fields: 31,
        crc: 0,
      });
    await finishStore(large, builder.finish(), manifest);
    const started = performance.now();
    const opened = await openStoreSource(large);
    // The limit has a wide margin: an idle core needs a quarter of a second.
    expect(performance.now() - started).toBeLessThan(5000);
    expect(opened.indexOf('COCO_train2014_000000179999')).toBe(179_999);
    await opened.reader.close();
  }, 120_000);
});

describe('what is wrong with a store', () => {
  test.each([
    [
      'a missing shard',
      (copy: string) => rmSync(join(copy, 'shard-00002.safetensors')),
      /shard-00002\.safetensors.*no such file/,
    ],
    [
      'a newer form',
      (copy: string) => {
        const path = join(copy, manifestFile);
        writeFileSync(path, readFileSync(path, 'utf8').replace('"version": 1', '"version": 2'));
      },
      /manifest\.json: has the version 2; this lxmert reads 1\. Install a newer lxmert/,
    ],
    [
      "another program's manifest",
      (copy: string) => writeFileSync(join(copy, manifestFile), '{"name": "x"}'),
      /is no manifest of a feature store/,
    ],
    ['no manifest', (copy: string) => rmSync(join(copy, manifestFile)), /manifest\.json: there is no such file/],
  ])('%s', async (name, damage, message) => {
    const copy = copyOf(`wrong-${name.replaceAll(' ', '-')}`);
    damage(copy);
    await expect(openStoreSource(copy)).rejects.toThrow(message);
  });

  test('a folder that is no store says how to make one', async () => {
    const files = new FeatureFiles();
    await expect(files.open([folder.path('')], {})).rejects.toThrow(
      /no feature store; make one of it with lxmert features import/,
    );
  });

  test('verify finds a flipped bit anywhere, and names the images', async () => {
    expect(await verifyStore(store)).toMatchObject({ images: 40, faults: [] });
    const copy = copyOf('flipped');
    await flip(join(copy, 'shard-00001.safetensors'), 1500);
    const { faults } = await verifyStore(copy);
    expect(faults).toEqual([
      expect.stringMatching(/shard-00001.*has changed/),
      expect.stringMatching(/row \d+: has changed.*image "image_/),
    ]);
    await flip(join(copy, 'shard-00001.safetensors'), 1500);
    expect((await verifyStore(copy)).faults).toEqual([]);
    await flip(join(copy, 'index.safetensors'), 900);
    expect((await verifyStore(copy)).faults[0]).toMatch(/index\.safetensors: has changed/);
  });
});

describe('export, merge, info', () => {
  test('a TSV comes back as it was', async () => {
    const out = folder.path('back.tsv');
    writeFileSync(out, 'an older file, which is replaced');
    expect(await exportTsv(store, out)).toMatchObject({ images: 40, warnings: [] });
    expect(readFileSync(out, 'utf8')).toBe(readFileSync(tsv, 'utf8'));
  });

  test('stores are merged by links; an image of two is an error or left out', async () => {
    const other = folder.path('other');
    const otherTsv = folder.path('other.tsv');
    writeFileSync(otherTsv, madeUpTsv(45).split('\n').slice(38).join('\n'));
    await importInThread(otherTsv, other, { dtype: 'float32' });
    const out = folder.path('merged');
    await expect(mergeStores([store, other], out)).rejects.toThrow(/image "image_38" is in .*--keep-first/);
    expect(existsSync(out)).toBe(false);
    const { manifest, copied, repeated } = await mergeStores([store, other], out, { keepFirst: true });
    expect([manifest.images, copied, repeated]).toEqual([45, 0, 2]);
    expect((await verifyStore(out)).faults).toEqual([]);
    const merged = await openStoreSource(out);
    const whole = folder.path('whole.tsv');
    writeFileSync(whole, madeUpTsv(45));
    const ofTsv = await openFeatureTsv(whole);
    expect(await readAll(merged)).toEqual(await readAll(ofTsv));
    await ofTsv.reader.close();
    await merged.reader.close();
  });

  test('info counts objects and looks at an image', async () => {
    const { objectsPerImage, image } = await storeInfo(store, 'image_1');
    expect(objectsPerImage).toEqual([
      [3, 8],
      [4, 8],
      [5, 8],
      [6, 8],
      [7, 8],
    ]);
    expect(image).toMatchObject({ width: 640, height: 480, objects: { length: 4 } });
    await expect(storeInfo(store, 'none')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });
});

describe('an import that was killed', () => {
  let copy: CompiledCopy;
  beforeAll(async () => {
    copy = await CompiledCopy.make();
  });
  afterAll(() => copy.remove());

  test('goes on where it was and ends with the same bytes', async () => {
    const large = folder.path('killed.tsv');
    writeFileSync(large, madeUpTsv(400, { dim: 512 }));
    const options = { shardBytes: 60_000 };
    const whole = folder.path('undisturbed');
    await importInThread(large, whole, options);
    const out = folder.path('killed');
    // Uses threads, as in a run of a user.
    const program = `
      import { importFeatures } from ${JSON.stringify(join(copy.folder, 'src', 'imports', 'index.js'))};
      await importFeatures([${JSON.stringify(large)}], ${JSON.stringify(out)}, { workers: 2, shardBytes: 60000,
        onProgress: ({ images }) => process.stdout.write(images + '\\n') });`;
    let kills = 0;
    for (let seen = 0; kills < 4;) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      // The process is killed when it has processed some images more than the previous process.
      const goal = seen + 60;
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (more: string) => {
        text += more;
        const images = Number(text.trimEnd().split('\n').at(-1));
        if (images < goal) return;
        seen = images;
        child.kill('SIGKILL');
      });
      const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
      expect(existsSync(out) && existsSync(join(`${out}.importing`, 'store'))).toBe(false);
      if (signal !== 'SIGKILL') break;
      kills++;
    }
    expect(kills).toBeGreaterThan(1);
    const notes: string[] = [];
    await importInThread(large, out, { ...options, onNote: (note) => notes.push(note) }).catch((error: unknown) => {
      if (!existsSync(out)) throw error;
    });
    expect(hashesOf(out)).toEqual(hashesOf(whole));
    expect(existsSync(`${out}.importing`)).toBe(false);
  }, 300_000);

  test('starts over where the file has changed, and refuses a store that is there', async () => {
    const input = folder.path('changing.tsv');
    writeFileSync(input, `${madeUpTsv(30)}broken line\n`);
    const out = folder.path('changing');
    await expect(importInThread(input, out, { shardBytes: 2000 })).rejects.toThrow(/line 31/);
    expect(existsSync(`${out}.importing`)).toBe(true);
    writeFileSync(input, madeUpTsv(33));
    const notes: string[] = [];
    const { manifest } = await importInThread(input, out, { shardBytes: 2000, onNote: (note) => notes.push(note) });
    expect(notes[0]).toMatch(/starting over/);
    expect(manifest.images).toBe(33);
    await expect(importInThread(input, out)).rejects.toThrow(/is there already/);
  });
});

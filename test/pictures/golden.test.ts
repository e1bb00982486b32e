/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { InferenceSession } from 'onnxruntime-node';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import type { Detector } from '../../src/pictures/detection.js';
import { openDetector } from '../../src/pictures/detector.js';
import { openSession } from '../../src/pictures/session.js';
import { importDetector } from '../../src/pictures/import/importDetector.js';
import { decodePicture } from '../../src/pictures/input/decode.js';
import { preparePicture, targetSize } from '../../src/pictures/input/prepare.js';
import { compareStages, furthest, picked } from './golden.js';

/**
 * Compares detectors with the numbers that the reference programs give for some pictures. The pictures are photographs
 * that this project must not copy, so LXMERT_DETECTOR_FIXTURES names their folder. If the variable is not set, these
 * tests are left out.
 */
const given = process.env.LXMERT_DETECTOR_FIXTURES;
const fixtures = given ?? '';
const describeGiven = given === undefined ? describe.skip : describe;

const stemOf = (picture: string) => picture.replace(/\.\w+$/, '');
const pictures = given === undefined ? ['no picture'] : readdirSync(join(fixtures, 'pictures'));

const flags = { minSize: 320, maxSize: 500 };
const cases = [
  { weights: 'frcnn', recipe: 'transformers', prefix: 'frcnn', flags: {} },
  {
    weights: 'detectron2.pkl',
    recipe: 'transformers',
    prefix: 'frcnn',
    flags: { ...flags, nms: [0.04, 0.1, 0.5] },
  },
  { weights: 'detector.caffemodel', recipe: 'caffe', prefix: 'caffe', flags },
] as const;

describeGiven.each(cases)('$weights by the recipe $recipe', ({ weights, recipe, prefix, flags: settings }) => {
  let folder: string;
  let detector: Detector;
  let staged: InferenceSession;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lxmert-golden-'));
    const [plain, withStages] = [join(folder, 'plain.onnx'), join(folder, 'stages.onnx')];
    await importDetector(join(fixtures, weights), plain, { recipe, ...settings });
    await importDetector(join(fixtures, weights), withStages, { recipe, ...settings, withStages: true });
    detector = await openDetector(plain);
    staged = await openSession(withStages);
  });
  afterAll(async () => {
    await detector.close();
    await staged.release();
    rmSync(folder, { recursive: true });
  });

  const expectedOf = (picture: string) => join(fixtures, 'expected', `${prefix}.${stemOf(picture)}.safetensors`);
  const known = pictures.filter((picture) => existsSync(expectedOf(picture)));

  test.each(known)('%s: input, each step of the graph, and the 36 boxes', async (name) => {
    const path = join(fixtures, 'pictures', name);
    const file = await SafetensorsFile.open(expectedOf(name));
    const prepared = await detector.prepare({ path });
    const { width, height, image, original } = prepared;
    expect([original.height, original.width]).toEqual([...(await file.readInt32('raw_size_hw'))]);
    const input = file.entries.has('data.crop') ? 'data' : 'input';
    for (const [part, top, left, rows, columns] of [
      ['crop', 40, 60, 48, 48],
      ['last_rows_cols', height - 4, width - 16, 4, 16],
    ] as const) {
      const actual = picked(image, { width, height }, { top, left, rows, columns });
      expect(furthest(actual, await file.readFloat32(`${input}.${part}`))).toBeLessThan(2e-4);
    }
    await compareStages(staged, prepared, file);

    const found = await detector.detect(prepared);
    expect(Array.from(found.objectIds!, Number)).toEqual([...(await file.readInt32('final.class_ids'))]);
    expect(Array.from(found.attrIds!, Number)).toEqual([...(await file.readInt32('final.attr_ids'))]);
    expect(furthest(found.boxes, await file.readFloat32('final.boxes'))).toBeLessThan(0.01);
    expect(furthest(found.features, await file.readFloat32('final.features'))).toBeLessThan(1e-4);
    expect(furthest(found.objectConf!, await file.readFloat32('final.class_scores'))).toBeLessThan(2e-5);
    expect(furthest(found.attrConf!, await file.readFloat32('final.attr_scores'))).toBeLessThan(2e-5);
    await file.close();
  });

  if (recipe === 'caffe')
    test.each(known)('%s: where exactly 36 proposals reach the threshold, they keep their order', async (name) => {
      const file = await SafetensorsFile.open(expectedOf(name));
      const prepared = await detector.prepare({ path: join(fixtures, 'pictures', name) });
      const [threshold] = await file.readFloat32('exactly_36.conf_thresh');
      await compareStages(staged, prepared, file, { threshold, ids: 'exactly_36.proposal_ids' });
      await file.close();
    });
});

const mean: [number, number, number] = [102.9801, 115.9465, 122.7717];
describeGiven.each([
  { file: 'caffe', key: 'caffe_600_1000', recipe: 'caffe', minSize: 600, maxSize: 1000 },
  { file: 'frcnn', key: 'detectron2_600_1000', recipe: 'd2', minSize: 600, maxSize: 1000 },
  { file: 'frcnn', key: 'frcnn_800_1333', recipe: 'transformers', minSize: 800, maxSize: 1333 },
] as const)('pictures at the usual sizes by the recipe $recipe', ({ file: name, key, ...sizes }) => {
  test.each(pictures)('%s', async (picture) => {
    const file = await SafetensorsFile.open(join(fixtures, 'expected', `preprocess.${name}.safetensors`));
    const of = `${picture}/${key}`;
    if (file.entries.has(`${of}.shape`)) {
      const pixels = await decodePicture({ path: join(fixtures, 'pictures', picture) });
      const target = targetSize(pixels, sizes);
      const { image, width, height } = preparePicture(pixels, target, {
        recipe: sizes.recipe,
        mean,
        std: [1, 1, 1],
      });
      expect([3, height, width]).toEqual([...(await file.readInt32(`${of}.shape`))]);
      for (const [part, place] of [
        ['crop', { top: 100, left: 160, rows: 32, columns: 32 }],
        ['last', { top: height - 3, left: width - 8, rows: 3, columns: 8 }],
        ['strided32', { top: 0, left: 0, rows: Math.ceil(height / 32), columns: Math.ceil(width / 32), step: 32 }],
      ] as const)
        expect(furthest(picked(image, { width, height }, place), await file.readFloat32(`${of}.${part}`))).toBeLessThan(
          2e-4,
        );
    }
    await file.close();
  });
});

/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { openDetector } from '../../src/pictures/detector.js';
import { importDetector } from '../../src/pictures/import/importDetector.js';
import { openSession } from '../../src/pictures/session.js';
import { compareStages, furthest } from './golden.js';

/**
 * Compares with the numbers of the reference programs for an invented picture. test/fixtures/detector/README.md
 * describes how they were made.
 */
const fixtures = fileURLToPath(new URL('../fixtures/detector/', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-stages-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ['transformers', 'frcnn', {}],
  ['caffe', 'detector.caffemodel', { minSize: 320, maxSize: 500 }],
] as const)('the recipe %s gives the numbers of its reference at every step', async (recipe, weights, sizes) => {
  const [plain, withStages] = [join(folder, `${recipe}.onnx`), join(folder, `${recipe}-stages.onnx`)];
  await importDetector(join(fixtures, weights), plain, { recipe, ...sizes });
  await importDetector(join(fixtures, weights), withStages, { recipe, ...sizes, withStages: true });
  const expected = join(fixtures, 'expected', `${recipe === 'caffe' ? 'caffe' : 'frcnn'}.safetensors`);
  const file = await SafetensorsFile.open(expected);
  const detector = await openDetector(plain);
  const prepared = await detector.prepare({ path: join(fixtures, 'pictures/waves.png') });
  expect([prepared.height, prepared.width]).toEqual([...(await file.readInt32('size_hw'))]);
  const input = prepared.image.filter((_, i) => i % 101 === 0);
  expect(furthest(input, await file.readFloat32('input.every.101'))).toBeLessThan(2e-4);
  const staged = await openSession(withStages);
  await compareStages(staged, prepared, file);
  const found = await detector.detect(prepared);
  expect(Array.from(found.objectIds!, Number)).toEqual([...(await file.readInt32('final.class_ids'))]);
  expect(Array.from(found.attrIds!, Number)).toEqual([...(await file.readInt32('final.attr_ids'))]);
  expect(furthest(found.boxes, await file.readFloat32('final.boxes'))).toBeLessThan(0.01);
  const features = found.features.filter((_, i) => i % 3 === 0);
  expect(furthest(features, await file.readFloat32('final.features.every.3'))).toBeLessThan(1e-4);
  expect(furthest(found.objectConf!, await file.readFloat32('final.class_scores'))).toBeLessThan(2e-5);
  expect(furthest(found.attrConf!, await file.readFloat32('final.attr_scores'))).toBeLessThan(2e-5);
  await Promise.all([file.close(), detector.close(), staged.release()]);
});

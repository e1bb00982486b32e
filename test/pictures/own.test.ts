/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { encodeOnnx } from '../../src/formats/onnx.js';
import { openDetector } from '../../src/pictures/detector.js';
import { extractFeatures } from '../../src/pictures/extract/extract.js';
import { renderSvg } from '../../src/pictures/index.js';
import { svg } from '../../src/scenes/picture.js';
import { makeScene } from '../../src/scenes/world.js';
import { command } from '../finetune/support.js';
import { writeSceneDetector } from './sceneDetector.js';

let folder: string;
let yaml: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-own-'));
  yaml = readFileSync(writeSceneDetector(folder), 'utf8');
  writeFileSync(at('scene.png'), await renderSvg(svg(makeScene(1, 'train', 2))));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ['model: scenes.onnx', 'modell: scenes.onnx', ':1: '],
  ['width: 288', 'width: wide', ':3: input.size: expected width and height, or shorter and longer'],
  ['features: features', 'features: nothing', "outputs.features: 'nothing' is no output of"],
  ['boxes: boxes, ', '', 'outputs: expected boxes and features (a detector), or map'],
  ['least: 1', 'least: 10', 'objects.least: 10 is more than most, which is 9'],
  ['model: scenes.onnx', 'model: missing.onnx', 'missing.onnx'],
])('a YAML with %j turned into %j', async (from, to, message) => {
  const path = at('changed.yaml');
  expect(yaml).toContain(from);
  writeFileSync(path, yaml.replace(from, to));
  await expect(openDetector(path)).rejects.toThrow(message);
});

test("a backbone's map becomes a grid of objects", async () => {
  const model = {
    name: 'backbone',
    nodes: [{ op: 'Identity', name: 'map', inputs: ['image'], outputs: ['map'], attributes: {} }],
    weights: [],
    inputs: [{ name: 'image', type: 'float32' as const, dims: [1, 3, 'h', 'w'] }],
    outputs: [{ name: 'map', type: 'float32' as const, dims: [1, 3, 'h', 'w'] }],
  };
  writeFileSync(at('backbone.onnx'), encodeOnnx(model));
  writeFileSync(
    at('backbone.yaml'),
    'model: backbone.onnx\ninput: { size: { width: 4, height: 4 } }\noutputs: { map: map }\n',
  );
  const pixels = Buffer.from(Array.from({ length: 48 }, (_, i) => i));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } })
    .png()
    .toFile(at('small.png'));
  const detector = await openDetector(at('backbone.yaml'), { grid: 2 });
  const { boxes, features } = await detector.detect(await detector.prepare({ path: at('small.png') }));
  await detector.close();
  expect([...boxes]).toEqual([0, 0, 2, 2, 2, 0, 4, 2, 0, 2, 2, 4, 2, 2, 4, 4]);
  // The mean of pixels 0, 1, 4, 5 of red: 0, 3, 12, 15.
  expect([...features.subarray(0, 3)]).toEqual([7.5, 8.5, 9.5]);
  await expect(openDetector(at('backbone.yaml'))).rejects.toThrow('--grid N makes N × N objects');
});

test('a detector is compared with features of the same pictures', async () => {
  await extractFeatures([at('scene.png')], at('scene.tsv'), { detector: at('scenes.yaml'), workers: 0 });
  const table = { detector: () => import('../../src/cli/detector.js') };
  const found = await command(table, 'detector', 'check', folder, '--detector', at('scenes.yaml'), '--json');
  expect([found.code, JSON.parse(found.out)]).toMatchObject([
    0,
    { pictures: [{ id: 'scene', sameClass: 1, featureDistance: 0 }], mean: { overlap: 1, matched: 1 } },
  ]);
});

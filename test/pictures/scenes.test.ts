/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { storeInfo } from '../../src/data/store/index.js';
import { extractFeatures } from '../../src/pictures/extract/extract.js';
import { colors, makeScene, shapes } from '../../src/scenes/world.js';
import type { Box } from '../../src/scenes/world.js';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { command } from '../finetune/support.js';
import { writeSceneDetector } from './sceneDetector.js';

/**
 * Tests the way from pixels to answers: scenes are drawn as PNG, a detector finds objects in the pixels, a model is
 * pre-trained on these objects, and answers questions.
 */
let folder: string;
let detector: string;
const at = (name: string) => join(folder, name);
const images = 60;
const table = {
  scenes: () => import('../../src/cli/scenes.js'),
  answer: () => import('../../src/cli/answer.js'),
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-pixels-'));
  detector = writeSceneDetector(folder);
  const flags = ['--images', String(images), '--seed', '7', '--pictures', '100', '--png', '--json'];
  expect(await command(table, 'scenes', '--out', at('scenes'), ...flags)).toMatchObject({ code: 0, err: '' });
  for (const split of ['train', 'valid'])
    await extractFeatures([at(`scenes/pictures/scene_${split}_*.png`)], at(`${split}.store`), { detector, workers: 0 });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Intersection over union. */
function iou(a: readonly number[], b: Box): number {
  const side = (k: 0 | 1) => Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]);
  const area = (box: readonly number[]) => (box[2] - box[0]) * (box[3] - box[1]);
  const both = Math.max(0, side(0)) * Math.max(0, side(1));
  return both / (area(a) + area(b) - both);
}

test('the detector finds the objects of scenes that it was not made with', async () => {
  const counts = { objects: 0, found: 0, classes: 0, colours: 0, places: 0, extra: 0 };
  for (let i = 0; i < 100; i++) {
    const scene = makeScene(7, 'valid', i);
    const { image } = await storeInfo(at('valid.store'), scene.id);
    counts.objects += scene.objects.length;
    counts.extra += Math.max(0, image!.objects.length - scene.objects.length);
    for (const object of scene.objects) {
      const same = image!.objects.find(({ box }) => iou(box, object.box) > 0.5);
      if (!same) continue;
      counts.found++;
      if (same.objectId === shapes.indexOf(object.shape)) counts.classes++;
      if (same.attrId === colors.indexOf(object.color)) counts.colours++;
      if (iou(same.box, object.box) > 0.8) counts.places++;
    }
  }
  // The detector must find exactly the objects of the scene, with the right shape and colour, and with an IoU above
  // 0.8.
  expect(counts).toEqual({
    objects: counts.objects,
    found: counts.objects,
    classes: counts.objects,
    colours: counts.objects,
    places: counts.objects,
    extra: 0,
  });
});

test('a model that is trained on what the detector found answers a question on a new picture', async () => {
  const yaml = readFileSync(at('scenes/data.yaml'), 'utf8');
  const stored = yaml.replaceAll(/(train|valid)\.tsv/g, (_, split: string) => `${at(split)}.store`);
  writeFileSync(at('scenes/data.yaml'), stored);
  await pretrain(
    {
      sources: {
        preset: 'tiny',
        flags: {
          ...{ data: at('scenes'), out: at('run'), train: 'questions', valid: 'valid', tasks: 'qa' },
          ...{ 'max-steps': '60', 'batch-size': '32', device: 'cpu', threads: '1', seed: '1' },
        },
      },
    },
    pretrainParts,
  );
  const picture = at('scenes/pictures/scene_valid_00000003.png');
  const asked = ['what color are most shapes?', 'is there a red circle?', '--detector', detector, '--json'];
  const answered = await command(table, 'answer', at('run'), picture, ...asked);
  expect(answered).toMatchObject({ code: 0, err: '' });
  const [colour, existence] = JSON.parse(answered.out) as { answers: { answer: string; probability: number }[] }[];
  // After only a few steps, the model gives answers of the right kind.
  expect(colors).toContain(colour.answers[0].answer);
  expect(['yes', 'no']).toContain(existence.answers[0].answer);
});

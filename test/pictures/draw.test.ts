/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { extractFeatures } from '../../src/pictures/extract/extract.js';
import { renderSvg } from '../../src/pictures/index.js';
import { svg } from '../../src/scenes/picture.js';
import { makeScene } from '../../src/scenes/world.js';
import { command } from '../finetune/support.js';
import { writeSceneDetector } from './sceneDetector.js';

const table = { features: () => import('../../src/cli/features.js') };
const scene = makeScene(1, 'train', 2);
let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-draw-'));
  writeFileSync(at('scene.png'), await renderSvg(svg(scene)));
  const detector = writeSceneDetector(folder);
  await extractFeatures([at('scene.png')], at('s.store'), { detector, workers: 0 });
  writeFileSync(at('classes.txt'), 'circle,disc\nsquare\ntriangle\nstar & co\n');
  writeFileSync(at('attributes.txt'), 'red\ngreen\nblue\nyellow\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

const draw = (id: string, out: string, ...flags: string[]) =>
  command(table, 'features', 'draw', at('s.store'), id, '--picture', at('scene.png'), '--out', at(out), ...flags);

test('a picture is drawn with its boxes and their names, as SVG and as PNG', async () => {
  const names = ['--classes', at('classes.txt'), '--attributes', at('attributes.txt')];
  expect(await draw('scene', 'd.svg', ...names)).toMatchObject({ code: 0 });
  const text = readFileSync(at('d.svg'), 'utf8');
  expect(text.match(/<rect /g)).toHaveLength(scene.objects.length);
  for (const { shape, color } of scene.objects)
    expect(text).toContain(`>${color} ${shape === 'star' ? 'star &amp; co' : shape} 1.00<`);
  expect(await draw('scene', 'd.png')).toMatchObject({ code: 0 });
  expect(await sharp(at('d.png')).metadata()).toMatchObject({
    ...{ format: 'png', width: scene.width, height: scene.height },
  });
});

test('an image that the store does not have, and a picture of another size, are named', async () => {
  expect((await draw('other', 'd.svg')).err).toContain('has no image "other"');
  expect((await draw('scene', 'd.gif')).err).toContain('.svg or .png');
  await sharp(at('scene.png')).resize(50).png().toFile(at('small.png'));
  const small = await draw('scene', 'd.svg', '--picture', at('small.png'));
  expect([small.code, small.err]).toEqual([1, expect.stringContaining('small.png')]);
});

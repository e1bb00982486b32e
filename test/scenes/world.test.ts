import { describe, expect, test } from '@jest/globals';
import { createDetector, misdetection } from '../../src/scenes/detector.js';
import { svg } from '../../src/scenes/picture.js';
import { createRandom } from '../../src/scenes/random.js';
import { colors, makeScene, shapes, sizes } from '../../src/scenes/world.js';
import type { Box } from '../../src/scenes/world.js';
import { mean } from './support.js';

const scenes = Array.from({ length: 2000 }, (_, index) => makeScene(3, 'train', index));
const objects = scenes.flatMap((scene) => scene.objects);

const overlap = (a: Box, b: Box): number =>
  Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

describe('makeScene', () => {
  test('depends only on seed, split and index', () => {
    expect(makeScene(3, 'train', 7)).toEqual(scenes[7]);
    for (const other of [makeScene(4, 'train', 7), makeScene(3, 'valid', 7), makeScene(3, 'train', 8)]) {
      expect(other.objects).not.toEqual(scenes[7].objects);
    }
  });

  test('has 2 to 5 objects of exactly two colours', () => {
    expect(scenes.every((scene) => new Set(scene.objects.map(({ color }) => color)).size === 2)).toBe(true);
    expect(new Set(scenes.map((scene) => scene.objects.length))).toEqual(new Set([2, 3, 4, 5]));
  });

  test('uses every shape, colour and size about equally', () => {
    for (const [name, values] of Object.entries({ shape: shapes, color: colors, size: sizes })) {
      for (const value of values) {
        const share = mean(objects.map((object) => Number(object[name as 'shape' | 'color' | 'size'] === value)));
        expect(Math.abs(share - 1 / values.length)).toBeLessThan(0.03);
      }
    }
  });

  test('keeps boxes within the picture, square, and apart from each other', () => {
    const within = scenes.every(({ width, height, objects: some }) =>
      some.every(
        ({ box: [x0, y0, x1, y1] }) => x0 >= 0 && y0 >= 0 && x1 <= width && y1 <= height && x1 - x0 === y1 - y0,
      ),
    );
    expect(within).toBe(true);
    const overlaps = scenes.flatMap(({ objects: some }) =>
      some.flatMap(({ box }, k) => some.slice(k + 1).map((other) => overlap(box, other.box))),
    );
    expect(Math.max(...overlaps)).toBe(0);
  });

  test('draws large objects at least one and a half times as wide as small ones', () => {
    const shares = (wanted: string): number[] =>
      scenes.flatMap(({ width, height, objects: some }) =>
        some.filter(({ size }) => size === wanted).map(({ box }) => (box[2] - box[0]) / Math.min(width, height)),
      );
    expect(Math.min(...shares('large'))).toBeGreaterThan(0.24);
    expect(Math.max(...shares('small'))).toBeLessThan(0.17);
  });
});

describe('createDetector', () => {
  const detector = createDetector(128);
  const seen = scenes.map((scene, k) => ({ scene, found: detector.detect(scene, createRandom(1, k)) }));

  /** The object of the scene that a detection covers most. */
  const under = ({ scene, box }: { scene: (typeof scenes)[number]; box: Box }) =>
    scene.objects.reduce((a, b) => (overlap(a.box, box) >= overlap(b.box, box) ? a : b));

  test('finds every object once, near its true place, with the most certain detection first', () => {
    for (const { scene, found } of seen.slice(0, 500)) {
      const owners = found.map(({ box }) => under({ scene, box }));
      expect(new Set(owners).size).toBe(scene.objects.length);
      const confs = found.map(({ objectConf }) => objectConf);
      expect(confs).toEqual([...confs].sort((a, b) => b - a));
      const errors = found.flatMap(({ box }, k) =>
        box.map((edge, i) => Math.abs(edge - owners[k].box[i]) / (owners[k].box[2] - owners[k].box[0])),
      );
      expect(Math.max(...errors)).toBeLessThanOrEqual(0.0301);
      expect(Math.max(...errors)).toBeGreaterThan(0);
      const limits = [scene.width, scene.height];
      expect(found.every(({ box }) => box.every((edge, i) => edge >= 0 && edge <= limits[i % 2]))).toBe(true);
    }
  });

  test('is wrong about shape or colour at the documented rate, and is less certain when it is wrong', () => {
    const rows = seen.flatMap(({ scene, found }) =>
      found.map((row) => ({ row, object: under({ scene, box: row.box }) })),
    );
    const wrongShape = rows.filter(({ row, object }) => shapes[row.objectId] !== object.shape);
    const wrongColor = rows.filter(({ row, object }) => colors[row.attrId] !== object.color);
    // About 6,000 objects with 180 mistakes; their standard deviation is 13.
    expect(Math.abs((wrongShape.length + wrongColor.length) / rows.length - misdetection)).toBeLessThan(0.011);
    expect(wrongShape.length).toBeGreaterThan(40);
    expect(wrongColor.length).toBeGreaterThan(40);
    expect(wrongShape.filter((row) => wrongColor.includes(row))).toEqual([]);
    const right = rows.filter((row) => !wrongShape.includes(row));
    expect(mean(wrongShape.map(({ row }) => row.objectConf))).toBeLessThan(
      mean(right.map(({ row }) => row.objectConf)) - 0.2,
    );
    const confs = rows.flatMap(({ row }) => [row.objectConf, row.attrConf]);
    expect(Math.min(...confs)).toBeGreaterThan(0.2);
    expect(Math.max(...confs)).toBeLessThan(1);
    expect(new Set(rows.map(({ row }) => row.objectConf)).size).toBeGreaterThan(rows.length / 2);
  });

  test('gives features of variance about 1, from which the detected class and attribute can be recovered', () => {
    const features = seen.flatMap(({ found }) => found);
    const all = features.slice(0, 500).flatMap(({ feature }) => [...feature]);
    expect(Math.abs(mean(all.map((x) => x * x)) - 1.09)).toBeLessThan(0.2);
    // The mean feature of each class and attribute is a template; the nearest template gives class and attribute.
    const templates = new Map<string, Float64Array>();
    const counts = new Map<string, number>();
    const name = (k: number): string => `${features[k].objectId} ${features[k].attrId}`;
    features.forEach(({ feature }, k) => {
      const sum = templates.get(name(k)) ?? new Float64Array(128);
      feature.forEach((x, i) => (sum[i] += x));
      templates.set(name(k), sum);
      counts.set(name(k), (counts.get(name(k)) ?? 0) + 1);
    });
    const distance = (feature: Float32Array, key: string): number =>
      feature.reduce((sum, x, i) => sum + (x - templates.get(key)![i] / counts.get(key)!) ** 2, 0);
    const nearest = ({ feature }: { feature: Float32Array }): string =>
      [...templates.keys()].reduce((a, b) => (distance(feature, a) <= distance(feature, b) ? a : b));
    const sample = features.slice(0, 300);
    expect(sample.filter((row, k) => nearest(row) === name(k)).length).toBe(300);
  });

  test('gives the same features for any seed of the scenes: the projection depends only on the width', () => {
    const [first] = createDetector(128).detect(scenes[0], createRandom(1, 0));
    expect(first.feature).toEqual(seen[0].found[0].feature);
    expect(createDetector(1).detect(scenes[0], createRandom(0))[0].feature).toHaveLength(1);
  });
});

describe('svg', () => {
  test('draws each object once in its box', () => {
    for (const scene of scenes.slice(0, 50)) {
      const text = svg(scene, 'a red circle.');
      expect(text).toContain(`viewBox="0 0 ${scene.width} ${scene.height}"`);
      expect(text).toContain('<title>a red circle.</title>');
      expect(text.match(/<(circle|polygon|rect) .*fill=/g)).toHaveLength(scene.objects.length + 1);
      for (const { shape, box } of scene.objects) {
        if (shape === 'circle')
          expect(text).toContain(`<circle cx="${(box[0] + box[2]) / 2}" cy="${(box[1] + box[3]) / 2}"`);
        if (shape === 'square') expect(text).toContain(`<rect x="${box[0]}" y="${box[1]}" width="${box[2] - box[0]}"`);
      }
    }
  });
});

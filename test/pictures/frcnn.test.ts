/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { openDetector } from '../../src/pictures/detector.js';
import type { Detector } from '../../src/pictures/detector.js';
import { stages } from '../../src/pictures/frcnnGraph.js';
import { importDetector } from '../../src/pictures/importDetector.js';

/**
 * A detector, pictures and the numbers that the reference gives for them. The pictures are photographs of others, which
 * this project does not hand on: LXMERT_DETECTOR_FIXTURES names the folder; without it these tests are left out.
 */
const given = process.env.LXMERT_DETECTOR_FIXTURES;
const fixtures = given ?? '';
const describeGiven = given === undefined ? describe.skip : describe;

let folder: string;
let detector: Detector;
let staged: InferenceSession;
beforeAll(async () => {
  if (given === undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'lxmert-detector-'));
  const [plain, withStages] = [join(folder, 'plain.onnx'), join(folder, 'stages.onnx')];
  const from = join(fixtures, 'frcnn');
  await importDetector(from, plain, { recipe: 'transformers' });
  await importDetector(from, withStages, { recipe: 'transformers', withStages: true });
  detector = await openDetector(plain);
  staged = await InferenceSession.create(withStages, { logSeverityLevel: 3 });
});
afterAll(async () => {
  if (given === undefined) return;
  await detector.close();
  await staged.release();
  rmSync(folder, { recursive: true });
});

/** The largest differences that the fixtures' README allows a float32 engine. */
const tolerances: Readonly<Record<string, number>> = {
  stem: 1e-4,
  res4: 1e-4,
  'rpn.logits': 2e-4,
  'rpn.deltas': 2e-4,
  'proposals.boxes': 0.01,
  'proposals.logits': 2e-4,
  'roi.pooled': 1e-4,
  'head.mean_features': 1e-4,
  'head.class_logits': 2e-4,
  'head.class_scores': 2e-5,
  'head.box_deltas': 2e-4,
  'head.attr_logits': 2e-4,
  'head.attr_scores': 2e-5,
};

/** Differences: the largest between the expected values and the first of the actual ones. */
function furthest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBeGreaterThanOrEqual(expected.length);
  let most = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

const pictures = given === undefined ? ['no picture'] : readdirSync(join(fixtures, 'pictures'));
const expectedOf = (picture: string) =>
  SafetensorsFile.open(join(fixtures, 'expected', `frcnn.${picture.replace(/\.\w+$/, '')}.safetensors`));

describeGiven.each(pictures)('%s', (name) => {
  const path = join(fixtures, 'pictures', name);

  test('is prepared as by the reference', async () => {
    const file = await expectedOf(name);
    const { image, width, height, original } = await detector.prepare(path);
    expect([height, width]).toEqual([...(await file.readInt32('size_hw'))]);
    expect([original.height, original.width]).toEqual([...(await file.readInt32('raw_size_hw'))]);
    const crop = (top: number, left: number, rows: number, columns: number) =>
      Float32Array.from({ length: 3 * rows * columns }, (_, i) => {
        const [c, y, x] = [Math.floor(i / rows / columns), Math.floor(i / columns) % rows, i % columns];
        return image[(c * height + top + y) * width + left + x];
      });
    expect(furthest(crop(40, 60, 48, 48), await file.readFloat32('input.crop'))).toBeLessThan(2e-4);
    const last = await file.readFloat32('input.last_rows_cols');
    expect(furthest(crop(height - 4, width - 16, 4, 16), last)).toBeLessThan(2e-4);
    await file.close();
  });

  test('gives the values of the reference at each step of the graph', async () => {
    const file = await expectedOf(name);
    const { image, width, height } = await detector.prepare(path);
    const results = await staged.run({
      image: new Tensor('float32', image, [1, 3, height, width]),
      scale: new Tensor('float32', await file.readFloat32('scales_yx'), [2]),
    });
    const differences: Record<string, number> = {};
    for (const stage of stages) {
      const stored = [stage, `${stage}_first`].find((key) => file.entries.has(key));
      if (stored === undefined || stage === 'final.proposal_ids') continue;
      differences[stage] = furthest(results[stage].data as Float32Array, await file.readFloat32(stored));
    }
    for (const [stage, difference] of Object.entries(differences))
      expect([stage, difference < tolerances[stage] || difference]).toEqual([stage, true]);
    expect(Array.from(results['final.proposal_ids'].data as BigInt64Array, Number)).toEqual([
      ...(await file.readInt32('final.proposal_ids')),
    ]);
    await file.close();
  });

  test('gives the 36 boxes of the reference', async () => {
    const file = await expectedOf(name);
    const found = await detector.detect(await detector.prepare(path));
    expect(Array.from(found.objectIds, Number)).toEqual([...(await file.readInt32('final.class_ids'))]);
    expect(Array.from(found.attrIds, Number)).toEqual([...(await file.readInt32('final.attr_ids'))]);
    expect(furthest(found.boxes, await file.readFloat32('final.boxes'))).toBeLessThan(0.01);
    expect(furthest(found.features, await file.readFloat32('final.features'))).toBeLessThan(1e-4);
    expect(furthest(found.objectConf, await file.readFloat32('final.class_scores'))).toBeLessThan(2e-5);
    expect(furthest(found.attrConf, await file.readFloat32('final.attr_scores'))).toBeLessThan(2e-5);
    await file.close();
  });
});

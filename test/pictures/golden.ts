import { expect } from '@jest/globals';
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import type { SafetensorsFile } from '../../src/formats/safetensors.js';
import type { PreparedPicture } from '../../src/pictures/detection.js';

/** The largest differences that a float32 engine may have, and the name of the stage in the Caffe fixtures. */
const tolerances: Readonly<Record<string, readonly [number, string?]>> = {
  stem: [1e-4, 'pool1'],
  res4: [1e-4, 'res4b22'],
  'rpn.logits': [2e-4, 'rpn_cls_score'],
  'rpn.deltas': [2e-4, 'rpn_bbox_pred'],
  'proposals.boxes': [0.01, 'rois'],
  'proposals.logits': [2e-4],
  'roi.pooled': [1e-4, 'roipool5'],
  'head.mean_features': [1e-4, 'pool5_flat'],
  'head.class_logits': [2e-4, 'cls_score'],
  'head.class_scores': [2e-5, 'cls_prob'],
  'head.box_deltas': [2e-4],
  'head.attr_logits': [2e-4, 'attr_score'],
  'head.attr_scores': [2e-5, 'attr_prob'],
};

/**
 * The largest difference between the expected values and the same number of first actual values. It is NaN if one of
 * the values is NaN.
 */
export function furthest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBeGreaterThanOrEqual(expected.length);
  let most = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

interface Part {
  readonly top: number;
  readonly left: number;
  readonly rows: number;
  readonly columns: number;
  readonly step?: number;
}

/** A part of a picture [3, H, W], or each `step`-th of its pixels. */
export const picked = (
  image: ArrayLike<number>,
  { width, height }: { readonly width: number; readonly height: number },
  { top, left, rows, columns, step = 1 }: Part,
): Float32Array =>
  Float32Array.from({ length: 3 * rows * columns }, (_, i) => {
    const [c, y, x] = [Math.floor(i / rows / columns), Math.floor(i / columns) % rows, i % columns];
    return image[(c * height + top + step * y) * width + left + step * x];
  });

export interface StageOptions {
  readonly threshold?: number;
  /** The name of the expected proposals. */
  readonly ids?: string;
}

/** Runs a graph whose stages are outputs, and compares each stage that is in the file. */
export async function compareStages(
  staged: InferenceSession,
  { image, width, height, scale }: PreparedPicture,
  file: SafetensorsFile,
  { threshold = 0.2, ids = 'final.proposal_ids' }: StageOptions = {},
): Promise<void> {
  const results = await staged.run({
    image: new Tensor('float32', image, [1, 3, height, width]),
    scale: new Tensor('float32', Float32Array.of(scale.y, scale.x), [2]),
    counts: new Tensor('int64', BigInt64Array.of(36n, 36n), [2]),
    threshold: new Tensor('float32', Float32Array.of(threshold), [1]),
  });
  let compared = 0;
  for (const [stage, [tolerance, caffe]] of Object.entries(tolerances)) {
    if (!(stage in results)) continue;
    let actual = results[stage].data as Float32Array;
    let stored = [stage, caffe].flatMap((name) => [name, `${name}_first`]).find((key) => file.entries.has(key!));
    // Some files have only every k-th number of a stage.
    const thinned = new RegExp(`^${stage}\\.every\\.(\\d+)$`);
    for (const key of file.entries.keys()) {
      const match = thinned.exec(key);
      if (!match) continue;
      stored = key;
      actual = actual.filter((_, i) => i % Number(match[1]) === 0);
    }
    if (stored === undefined) continue;
    let expected = await file.readFloat32(stored);
    // Caffe's regions begin with the number of the picture.
    if (stored === 'rois') expected = expected.filter((_, i) => i % 5 > 0);
    const difference = furthest(actual, expected);
    expect([stage, difference < tolerance || difference]).toEqual([stage, true]);
    compared++;
  }
  expect(compared).toBeGreaterThanOrEqual(10);
  expect(Array.from(results['final.proposal_ids'].data as BigInt64Array, Number)).toEqual([
    ...(await file.readInt32(ids)),
  ]);
}

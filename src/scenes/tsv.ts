import type { DetectedObject } from './detector.js';
import type { Scene } from './world.js';

/** Node's machines are little-endian, as the file is. */
const base64 = (values: Float32Array | BigInt64Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

/**
 * One line of the original's feature file: img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf,
 * num_boxes, boxes, features, between tabs; the arrays little-endian int64 or float32 in base64, boxes in pixels.
 */
export function tsvLine(scene: Scene, found: readonly DetectedObject[]): string {
  const dim = found[0]?.feature.length ?? 0;
  const features = new Float32Array(found.length * dim);
  found.forEach(({ feature }, k) => features.set(feature, k * dim));
  const fields = [
    scene.id,
    scene.height,
    scene.width,
    base64(BigInt64Array.from(found, ({ objectId }) => BigInt(objectId))),
    base64(Float32Array.from(found, ({ objectConf }) => objectConf)),
    base64(BigInt64Array.from(found, ({ attrId }) => BigInt(attrId))),
    base64(Float32Array.from(found, ({ attrConf }) => attrConf)),
    found.length,
    base64(Float32Array.from(found.flatMap(({ box }) => [...box]))),
    base64(features),
  ];
  return `${fields.join('\t')}\n`;
}

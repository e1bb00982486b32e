import { regionTsvLine } from '../formats/regionTsv.js';
import type { DetectedObject } from './detector.js';
import type { Scene } from './world.js';

/** Makes the line of a scene for the original's feature file. Boxes are in pixels. */
export function tsvLine({ id, width, height }: Scene, found: readonly DetectedObject[]): string {
  const dim = found[0]?.feature.length ?? 0;
  const features = new Float32Array(found.length * dim);
  found.forEach(({ feature }, k) => features.set(feature, k * dim));
  return regionTsvLine({
    ...{ id, width, height, features },
    objectIds: BigInt64Array.from(found, ({ objectId }) => BigInt(objectId)),
    objectConf: Float32Array.from(found, ({ objectConf }) => objectConf),
    attrIds: BigInt64Array.from(found, ({ attrId }) => BigInt(attrId)),
    attrConf: Float32Array.from(found, ({ attrConf }) => attrConf),
    boxes: Float32Array.from(found.flatMap(({ box }) => [...box])),
  });
}

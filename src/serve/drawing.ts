import type { ObjectRows } from '../data/features/featureSource.js';
import { paintedObject } from '../scenes/index.js';

const [width, height] = [400, 300];

/**
 * An SVG picture of the objects of a picture without a file: shapes if they belong to a synthetic scene, otherwise the outlines
 * of their boxes.
 */
export function drawing({ boxes, objectIds, attrIds }: ObjectRows, scene: boolean): string {
  const places = Array.from(objectIds, (_, i) => {
    const [x0, y0, x1, y1] = boxes.subarray(4 * i, 4 * i + 4);
    return [x0 * width, y0 * height, x1 * width, y1 * height] as const;
  });
  const painted = scene ? places.map((box, i) => paintedObject(objectIds[i], attrIds[i], box)) : [];
  const outlines = places.map(
    ([x0, y0, x1, y1]) =>
      `<rect x="${x0.toFixed(1)}" y="${y0.toFixed(1)}" width="${Math.max(0, x1 - x0).toFixed(1)}" ` +
      `height="${Math.max(0, y1 - y0).toFixed(1)}" fill="none" stroke="#7a7a76"/>`,
  );
  const whole = painted.length > 0 && painted.every((one) => one !== undefined);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<rect width="${width}" height="${height}" fill="#f4f1ea"/>`,
    ...(whole ? painted : outlines),
    '</svg>',
  ].join('\n');
}

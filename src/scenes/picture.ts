import { colors, shapes } from './world.js';
import type { Box, Scene, Shape } from './world.js';

const paints = { red: '#d7263d', green: '#2a9d4a', blue: '#2364d2', yellow: '#f2b705' } as const;

const points = (corners: readonly (readonly [number, number])[]): string =>
  corners.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');

/** Corners of a five-pointed star, as shares of its box. They are constants, so that no sine has to be computed. */
const starCorners = [
  [0.5, 0],
  [0.618, 0.382],
  [1, 0.382],
  [0.691, 0.618],
  [0.809, 1],
  [0.5, 0.764],
  [0.191, 1],
  [0.309, 0.618],
  [0, 0.382],
  [0.382, 0.382],
] as const;

const outlines: Readonly<Record<Shape, (box: Box) => string>> = {
  circle: ([x0, y0, x1, y1]) => `<circle cx="${(x0 + x1) / 2}" cy="${(y0 + y1) / 2}" r="${(x1 - x0) / 2}"`,
  square: ([x0, y0, x1, y1]) => `<rect x="${x0}" y="${y0}" width="${x1 - x0}" height="${y1 - y0}"`,
  triangle: ([x0, y0, x1, y1]) =>
    `<polygon points="${points([
      [(x0 + x1) / 2, y0],
      [x1, y1],
      [x0, y1],
    ])}"`,
  star: ([x0, y0, x1, y1]) =>
    `<polygon points="${points(starCorners.map(([u, v]) => [x0 + u * (x1 - x0), y0 + v * (y1 - y0)] as const))}"`,
};

/** Draws the scene as an SVG picture with `text` as its title. `text` must not contain markup. */
export function svg(scene: Scene, text = ''): string {
  const { width, height } = scene;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `  <title>${text}</title>`,
    `  <rect width="${width}" height="${height}" fill="#f4f1ea"/>`,
    ...scene.objects.map(({ shape, color, box }) => `  ${outlines[shape](box)} fill="${paints[color]}"/>`),
    '</svg>',
    '',
  ].join('\n');
}

/**
 * An object of a scene as an element of an SVG picture. It is made from the class and the attribute in the data, which
 * are the numbers of a shape and of a colour. Undefined for numbers that no shape or colour has.
 */
export function paintedObject(objectClass: number, attribute: number, box: Box): string | undefined {
  const [shape, color] = [shapes[objectClass], colors[attribute]];
  return shape && color && `${outlines[shape](box)} fill="${paints[color]}"/>`;
}

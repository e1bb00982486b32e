import { createRandom } from './random.js';

export const shapes = ['circle', 'square', 'triangle', 'star'] as const;
export const colors = ['red', 'green', 'blue', 'yellow'] as const;
export const sizes = ['small', 'large'] as const;

export type Shape = (typeof shapes)[number];
export type Color = (typeof colors)[number];
export type Size = (typeof sizes)[number];

/** x0, y0, x1, y1 in pixels, y downwards. */
export type Box = readonly [number, number, number, number];

export interface SceneObject {
  readonly shape: Shape;
  readonly color: Color;
  readonly size: Size;
  readonly box: Box;
}

/** A scene: the true objects of a picture, before detection. */
export interface Scene {
  /** Unique over both splits; the `img_id` of the files. */
  readonly id: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly objects: readonly SceneObject[];
}

export const splits = ['train', 'valid'] as const;
export type Split = (typeof splits)[number];

/** Names the independent random streams of one scene. */
export const streams = { scene: 0, sentences: 1, detector: 2, projection: 3, vqa: 4, pairs: 5 } as const;

/** Numbers of objects to draw from. Small numbers are more frequent, because such scenes are easier to learn from. */
const objectCounts = [2, 2, 2, 3, 3, 3, 4, 4, 5] as const;

/** Numbers of colours to draw from. */
const paletteSizes = [2] as const;

const pictureSizes = [
  [640, 480],
  [480, 640],
  [500, 375],
  [512, 512],
] as const;

/** Number of rows and columns of a grid. Each object is in a different cell, so no object covers another. */
const gridSide = 3;

/** Smallest and largest width of an object, as shares of the picture's shorter side. A cell is a third of this side. */
const extents: Readonly<Record<Size, readonly [number, number]>> = { small: [0.12, 0.16], large: [0.25, 0.31] };

/** The key of a scene's random stream. */
export function sceneKey(seed: number, split: Split, index: number, stream: number): number[] {
  return [seed, splits.indexOf(split), index, stream];
}

/**
 * Makes scene `index` of a split: 2–5 objects of any shapes and sizes, in exactly two colours (the palette). Because
 * there are only two colours, a sentence that names colours gives information about the whole picture.
 */
export function makeScene(seed: number, split: Split, index: number): Scene {
  const random = createRandom(...sceneKey(seed, split, index, streams.scene));
  const [width, height] = random.pick(pictureSizes);
  const count = random.pick(objectCounts);
  const palette = random.shuffle(colors).slice(0, Math.min(random.pick(paletteSizes), count));
  const cells = random.shuffle(Array.from({ length: gridSide * gridSide }, (_, cell) => cell));
  const unit = Math.min(width, height);
  const objects = Array.from({ length: count }, (_, k): SceneObject => {
    const size = random.pick(sizes);
    const [from, to] = extents[size];
    const side = Math.round(unit * (from + (to - from) * random.uniform()));
    const column = cells[k] % gridSide;
    const row = Math.floor(cells[k] / gridSide);
    const x = Math.floor((width / gridSide) * column + random.uniform() * (width / gridSide - side));
    const y = Math.floor((height / gridSide) * row + random.uniform() * (height / gridSide - side));
    return {
      shape: random.pick(shapes),
      color: k < palette.length ? palette[k] : random.pick(palette),
      size,
      box: [x, y, x + side, y + side],
    };
  });
  return { id: `scene_${split}_${String(index).padStart(8, '0')}`, width, height, objects: random.shuffle(objects) };
}

import { colors } from './world.js';
import type { Color, Scene, SceneObject, Shape, Size } from './world.js';

/** The aspects that a phrase gives of an object. An aspect that is left out may have any value. */
export interface Description {
  readonly size?: Size;
  readonly color?: Color;
  readonly shape?: Shape;
}

export type Aspect = keyof Description;

export function fits(object: SceneObject, description: Description): boolean {
  return (
    (description.size ?? object.size) === object.size &&
    (description.color ?? object.color) === object.color &&
    (description.shape ?? object.shape) === object.shape
  );
}

/** The number of objects of the scene that fit the description. */
export function countOf(scene: Scene, description: Description): number {
  return scene.objects.reduce((sum, object) => sum + (fits(object, description) ? 1 : 0), 0);
}

/** Describes an object by some of its aspects. */
export function describe(object: SceneObject, aspects: readonly Aspect[]): Description {
  const description: { size?: Size; color?: Color; shape?: Shape } = {};
  if (aspects.includes('size')) description.size = object.size;
  if (aspects.includes('color')) description.color = object.color;
  if (aspects.includes('shape')) description.shape = object.shape;
  return description;
}

export const allAspects: readonly Aspect[] = ['size', 'color', 'shape'];

export interface Referred {
  readonly object: SceneObject;
  readonly description: Description;
}

/** The objects that differ from all other objects of the scene in these aspects. */
export function unique(scene: Scene, aspects: readonly Aspect[]): Referred[] {
  return scene.objects
    .map((object) => ({ object, description: describe(object, aspects) }))
    .filter(({ description }) => countOf(scene, description) === 1);
}

/**
 * A phrase such as "small red circle". Without a shape the phrase is, for example, "red shape"; `noun` replaces the
 * word "shape".
 */
export function phrase(description: Description, noun = 'shape'): string {
  return [description.size, description.color, description.shape ?? noun].filter(Boolean).join(' ');
}

/** The two colours of the scene. */
export function palette(scene: Scene): Color[] {
  return colors.filter((color) => countOf(scene, { color }) > 0);
}

/** The noun in the singular or plural: "circle", "circles". */
export function numbered(noun: string, count: number): string {
  return count === 1 ? noun : `${noun}s`;
}

export const numberWords = ['zero', 'one', 'two', 'three', 'four', 'five'] as const;

/** Relations between two objects. A relation is true if the boxes do not overlap in its direction. */
export const relations = {
  left: { phrase: 'left of', holds: (a, b) => a.box[2] <= b.box[0] },
  right: { phrase: 'right of', holds: (a, b) => b.box[2] <= a.box[0] },
  above: { phrase: 'above', holds: (a, b) => a.box[3] <= b.box[1] },
  below: { phrase: 'below', holds: (a, b) => b.box[3] <= a.box[1] },
} as const satisfies Record<string, { phrase: string; holds: (a: SceneObject, b: SceneObject) => boolean }>;

export type Relation = keyof typeof relations;

export const relationNames = Object.keys(relations) as Relation[];

/**
 * The halves of the picture. An object is in a half if its whole box is in this half. An object that crosses the middle is
 * in neither half.
 */
export const halves = {
  left: { phrase: 'left', holds: ({ width }, { box }) => box[2] <= width / 2 },
  right: { phrase: 'right', holds: ({ width }, { box }) => box[0] >= width / 2 },
  upper: { phrase: 'upper', holds: ({ height }, { box }) => box[3] <= height / 2 },
  lower: { phrase: 'lower', holds: ({ height }, { box }) => box[1] >= height / 2 },
} as const satisfies Record<string, { phrase: string; holds: (scene: Scene, object: SceneObject) => boolean }>;

export type Half = keyof typeof halves;

export const halfNames = Object.keys(halves) as Half[];

/** All ordered pairs of different items. */
export function orderedPairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((a) => items.filter((b) => b !== a).map((b): [T, T] => [a, b]));
}

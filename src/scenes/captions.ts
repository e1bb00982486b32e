import type { Random } from './random.js';
import { shapes, sizes } from './world.js';
import type { Scene, SceneObject } from './world.js';
import {
  allAspects,
  countOf,
  describe,
  halfNames,
  halves,
  numberWords,
  numbered,
  orderedPairs,
  palette,
  phrase,
  relationNames,
  relations,
  unique,
} from './descriptions.js';
import type { Aspect, Referred } from './descriptions.js';

/** A kind of caption. Returns true sentences of this kind about a scene, the best first. */
type Caption = (scene: Scene, random: Random) => string[];

const isAre = (count: number): string => (count === 1 ? 'is' : 'are');

/** How many of these aspects of an object the picture determines if one of them is hidden in a phrase. */
function tellable(scene: Scene, object: SceneObject, aspects: readonly Aspect[]): number {
  const shown = aspects.map((hidden) => aspects.filter((aspect) => aspect !== hidden));
  return shown.filter((rest) => countOf(scene, describe(object, rest)) === 1).length;
}

/**
 * The objects that a caption can name, in random order, mostly by colour and shape, sometimes also by size. Objects whose
 * words the picture determines come first. For example, with three circles in the picture the colour in "a [MASK] circle"
 * is not determined.
 */
function nameable(scene: Scene, random: Random): Referred[] {
  const brief: readonly Aspect[] = ['color', 'shape'];
  const aspects = random.uniform() < 2 / 3 && unique(scene, brief).length > 1 ? brief : allAspects;
  const score = new Map(scene.objects.map((object) => [object, tellable(scene, object, aspects)]));
  return random.shuffle(unique(scene, aspects)).sort((a, b) => score.get(b.object)! - score.get(a.object)!);
}

/** Moves pairs of two colours to the front, because they say more about the picture. */
function colorsFirst<T extends { readonly object: SceneObject }>(pairs: readonly [T, T][]): [T, T][] {
  const differ = ([a, b]: readonly [T, T]): boolean => a.object.color !== b.object.color;
  return [...pairs.filter(differ), ...pairs.filter((pair) => !differ(pair))];
}

/** The number of objects of each colour of the palette: "two red shapes and one blue shape". */
const colorCounts: Caption = (scene, random) =>
  random.shuffle(orderedPairs(palette(scene))).flatMap(([c, d]) => {
    const [n, m] = [countOf(scene, { color: c }), countOf(scene, { color: d })];
    const [some, others] = [numberWords[n], numberWords[m]];
    return random.shuffle([
      `${some} ${numbered('shape', n)} ${isAre(n)} ${c} and ${others} ${isAre(m)} ${d}.`,
      `there ${isAre(n)} ${some} ${c} ${numbered('shape', n)} and ${others} ${d} ${numbered('one', m)}.`,
      `${some} ${c} ${numbered('shape', n)} and ${others} ${d} ${numbered('shape', m)}.`,
      `${some} ${c} ${numbered('shape', n)} with ${others} ${d} ${numbered('one', m)}.`,
    ]);
  });

/** Names two objects. */
const pair: Caption = (scene, random) =>
  colorsFirst(orderedPairs(nameable(scene, random))).flatMap(([a, b]) => {
    const [one, other] = [phrase(a.description), phrase(b.description)];
    return random.shuffle([
      `a ${one} and a ${other}.`,
      `there is a ${one} and a ${other}.`,
      `a ${one} with a ${other}.`,
    ]);
  });

/** Says where one object is relative to another. */
const place: Caption = (scene, random) =>
  colorsFirst(orderedPairs(nameable(scene, random))).flatMap(([a, b]) =>
    random
      .shuffle(relationNames)
      .filter((name) => relations[name].holds(a.object, b.object))
      .flatMap((name) => {
        const [one, other, where] = [phrase(a.description), phrase(b.description), relations[name].phrase];
        return random.shuffle([
          `the ${one} is ${where} the ${other}.`,
          `a ${one} stands ${where} a ${other}.`,
          `${where} the ${other} there is a ${one}.`,
        ]);
      }),
  );

/** Says in which half of the picture an object is. */
const half: Caption = (scene, random) =>
  nameable(scene, random).flatMap(({ object, description }) =>
    random
      .shuffle(halfNames)
      .filter((name) => halves[name].holds(scene, object))
      .flatMap((name) => {
        const [one, where] = [phrase(description), halves[name].phrase];
        return random.shuffle([
          `the ${one} is in the ${where} half.`,
          `a ${one} stands in the ${where} half.`,
          `in the ${where} half there is a ${one}.`,
        ]);
      }),
  );

/** Says which colour has more objects. */
const moreColor: Caption = (scene, random) =>
  orderedPairs(palette(scene))
    .filter(([c, d]) => countOf(scene, { color: c }) > countOf(scene, { color: d }))
    .flatMap(([c, d]) =>
      random.shuffle([
        `there are more ${c} shapes than ${d} ones.`,
        `more shapes are ${c} than ${d}.`,
        `there are fewer ${d} shapes than ${c} ones.`,
      ]),
    );

/** Says which of two objects is larger. */
const larger: Caption = (scene, random) =>
  colorsFirst(random.shuffle(orderedPairs(unique(scene, ['color', 'shape']))))
    .filter(([a, b]) => sizes.indexOf(a.object.size) > sizes.indexOf(b.object.size))
    .flatMap(([a, b]) => {
      const [large, small] = [phrase(a.description), phrase(b.description)];
      return random.shuffle([
        `the ${large} is larger than the ${small}.`,
        `the ${small} is smaller than the ${large}.`,
      ]);
    });

/**
 * Says how many objects have a shape. It is used only if no other shape has the same number of objects, so that the
 * picture determines the word.
 */
const shapeCounts: Caption = (scene, random) => {
  const counts = shapes.map((shape) => countOf(scene, { shape }));
  return random
    .shuffle(shapes)
    .filter((shape) => {
      const n = counts[shapes.indexOf(shape)];
      return n > 0 && counts.filter((count) => count === n).length === 1;
    })
    .flatMap((shape) => {
      const [c, d] = random.shuffle(palette(scene));
      const n = counts[shapes.indexOf(shape)];
      const noun = n === 1 ? `a ${shape}` : numbered(shape, n);
      return random.shuffle([
        `of the ${c} and ${d} shapes, ${numberWords[n]} ${isAre(n)} ${noun}.`,
        `${numberWords[n]} of the ${c} and ${d} shapes ${isAre(n)} ${noun}.`,
      ]);
    });
};

/** The kinds of captions. Each row gives one caption: of its first kind that gives a new sentence. `colorCounts` always does. */
function plan(random: Random): Caption[][] {
  const others = random.shuffle([moreColor, larger, shapeCounts, half]);
  return [[colorCounts], [pair, shapeCounts, colorCounts], [place, pair, colorCounts], [...others, colorCounts]];
}

export const captionsPerScene = 4;

/** Makes four different true sentences about a scene. */
export function makeCaptions(scene: Scene, random: Random): string[] {
  const captions: string[] = [];
  for (const kinds of plan(random)) {
    const caption = kinds.flatMap((kind) => kind(scene, random)).find((sentence) => !captions.includes(sentence));
    if (caption === undefined) throw new RangeError(`no further caption for scene ${scene.id}`);
    captions.push(caption);
  }
  return captions;
}

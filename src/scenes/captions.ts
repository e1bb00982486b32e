import type { Random } from './random.js';
import { shapes, sizes } from './world.js';
import type { Scene, SceneObject } from './world.js';
import {
  allAspects,
  countOf,
  describe,
  numberWords,
  numbered,
  orderedPairs,
  palette,
  phrase,
  relations,
  unique,
} from './descriptions.js';
import type { Relation } from './descriptions.js';

/** A kind of caption: all true sentences of it about a scene, or some of them, best first. */
type Caption = (scene: Scene, random: Random) => string[];

const isAre = (count: number): string => (count === 1 ? 'is' : 'are');

/** How many of an object's aspects the picture gives away when its phrase hides them, out of three. */
function tellable(scene: Scene, object: SceneObject): number {
  const shown = allAspects.map((hidden) => allAspects.filter((aspect) => aspect !== hidden));
  return shown.filter((aspects) => countOf(scene, describe(object, aspects)) === 1).length;
}

/** Pairs of two colours before the others, else in the order given: they say more of the picture. */
function colorsFirst<T extends { readonly object: SceneObject }>(pairs: readonly [T, T][]): [T, T][] {
  const differ = ([a, b]: readonly [T, T]): boolean => a.object.color !== b.object.color;
  return [...pairs.filter(differ), ...pairs.filter((pair) => !differ(pair))];
}

/** "two red shapes and one blue shape": how many there are of each colour of the palette. */
const colorCounts: Caption = (scene, random) =>
  orderedPairs(palette(scene)).map(([c, d]) => {
    const [n, m] = [countOf(scene, { color: c }), countOf(scene, { color: d })];
    const [some, others] = [numberWords[n]!, numberWords[m]!];
    return random.pick([
      `${some} ${numbered('shape', n)} ${isAre(n)} ${c} and ${others} ${isAre(m)} ${d}.`,
      `there ${isAre(n)} ${some} ${c} ${numbered('shape', n)} and ${others} ${d} ${numbered('one', m)}.`,
      `${some} ${c} ${numbered('shape', n)} and ${others} ${d} ${numbered('shape', m)}.`,
      `${some} ${c} ${numbered('shape', n)} with ${others} ${d} ${numbered('one', m)}.`,
    ]);
  });

/** Two objects with all that can be said of them: those whose words the picture gives away most. */
const pair: Caption = (scene, random) => {
  const objects = random
    .shuffle(unique(scene, allAspects))
    .map(({ object, description }) => ({ object, words: phrase(description), score: tellable(scene, object) }))
    .sort((a, b) => b.score - a.score);
  return colorsFirst(orderedPairs(objects)).map(([{ words: one }, { words: other }]) =>
    random.pick([`a ${one} and a ${other}.`, `there is a ${one} and a ${other}.`, `a ${one} with a ${other}.`]),
  );
};

/** Where one object is, seen from another. */
const place: Caption = (scene, random) =>
  colorsFirst(random.shuffle(orderedPairs(unique(scene, allAspects)))).flatMap(([a, b]) =>
    random
      .shuffle(Object.keys(relations) as Relation[])
      .filter((name) => relations[name].holds(a.object, b.object))
      .map((name) => {
        const [one, other] = [phrase(a.description), phrase(b.description)];
        return random.pick([
          `the ${one} is ${relations[name].phrase} the ${other}.`,
          `a ${one} stands ${relations[name].phrase} a ${other}.`,
          `${relations[name].phrase} the ${other} there is a ${one}.`,
        ]);
      }),
  );

/** Which colour there is more of. */
const moreColor: Caption = (scene, random) =>
  orderedPairs(palette(scene))
    .filter(([c, d]) => countOf(scene, { color: c }) > countOf(scene, { color: d }))
    .map(([c, d]) =>
      random.pick([
        `there are more ${c} shapes than ${d} ones.`,
        `more shapes are ${c} than ${d}.`,
        `there are fewer ${d} shapes than ${c} ones.`,
      ]),
    );

/** Which of two objects is larger. */
const larger: Caption = (scene, random) =>
  colorsFirst(random.shuffle(orderedPairs(unique(scene, ['color', 'shape']))))
    .filter(([a, b]) => sizes.indexOf(a.object.size) > sizes.indexOf(b.object.size))
    .map(([a, b]) => {
      const [large, small] = [phrase(a.description), phrase(b.description)];
      return random.pick([`the ${large} is larger than the ${small}.`, `the ${small} is smaller than the ${large}.`]);
    });

/** How many of the palette's shapes have one shape. */
const shapeCounts: Caption = (scene, random) =>
  random
    .shuffle(shapes)
    .filter((shape) => countOf(scene, { shape }) > 0)
    .map((shape) => {
      const [c, d] = random.shuffle(palette(scene));
      const n = countOf(scene, { shape });
      const noun = n === 1 ? `a ${shape}` : numbered(shape, n);
      return random.pick([
        `of the ${c} and ${d} shapes, ${numberWords[n]!} ${isAre(n)} ${noun}.`,
        `${numberWords[n]!} of the ${c} and ${d} shapes ${isAre(n)} ${noun}.`,
      ]);
    });

/** One caption is made of each; of the first kind in the row that has anything to say. */
function plan(random: Random): Caption[][] {
  const [first, second, third] = random.shuffle([moreColor, larger, shapeCounts]);
  return [[colorCounts], [pair, shapeCounts], [place, pair, colorCounts], [first!, second!, third!, pair]];
}

export const captionsPerScene = 4;

/** Four different true sentences about a scene. */
export function makeCaptions(scene: Scene, random: Random): string[] {
  const captions: string[] = [];
  for (const kinds of plan(random)) {
    const caption = kinds.flatMap((kind) => kind(scene, random)).find((sentence) => !captions.includes(sentence));
    if (caption === undefined) throw new RangeError(`no further caption for scene ${scene.id}`);
    captions.push(caption);
  }
  return captions;
}

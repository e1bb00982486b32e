import type { Scene, SceneObject } from '../../src/scenes/world.js';

/**
 * Reads a sentence of the scenes, and derives from the boxes whether it is true, or what its answer is. This code has
 * no part in common with the generator. It has a separate grammar and uses only the words of the files.
 */

const number: Record<string, number> = { one: 1, two: 2, three: 3, four: 4, five: 5 };
const shapeWords = ['circle', 'square', 'triangle', 'star'];
const noun = '(?:circle|square|triangle|star|shape|one)s?';
const thing = `((?:small |large )?(?:(?:red|green|blue|yellow) )?${noun})`;
const colors = ['red', 'green', 'blue', 'yellow'];
const color = `(${colors.join('|')})`;
const count = '(one|two|three|four|five)';
const where = '(left of|right of|above|below)';
const half = '(left|right|upper|lower)';

function objects(scene: Scene, words: string): SceneObject[] {
  return scene.objects.filter((object) =>
    words.split(' ').every((word) => {
      const bare = word.replace(/s$/, '');
      if (bare === 'shape' || bare === 'one') return true;
      if (shapeWords.includes(bare)) return object.shape === bare;
      return object.color === word || object.size === word;
    }),
  );
}

const amount = (scene: Scene, words: string): number => objects(scene, words).length;

/** The object that the words describe; undefined if no object or several fit. */
function only(scene: Scene, words: string): SceneObject | undefined {
  const found = objects(scene, words);
  return found.length === 1 ? found[0] : undefined;
}

const centre = ({ box }: SceneObject): [number, number] => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

function stands(scene: Scene, one: string, relation: string, other: string): boolean | undefined {
  const [a, b] = [only(scene, one), only(scene, other)];
  if (!a || !b) return undefined;
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)];
  return { 'left of': ax < bx, 'right of': ax > bx, above: ay < by, below: ay > by }[relation];
}

/** Whether an object lies entirely in a half of the picture; undefined if it crosses the middle. */
function inHalf(scene: Scene, words: string, half: string): boolean | undefined {
  const object = only(scene, words);
  if (!object) return undefined;
  const sideways = half === 'left' || half === 'right';
  const [from, to] = sideways ? [object.box[0], object.box[2]] : [object.box[1], object.box[3]];
  const middle = (sideways ? scene.width : scene.height) / 2;
  if (from < middle && to > middle) return undefined;
  return to <= middle === (half === 'left' || half === 'upper');
}

const area = ({ box }: SceneObject): number => (box[2] - box[0]) * (box[3] - box[1]);

function largerThan(scene: Scene, one: string, other: string): boolean | undefined {
  const [a, b] = [only(scene, one), only(scene, other)];
  // Objects are small or large; two objects whose areas differ by a factor below 1.5 have the same size.
  return !a || !b || Math.max(area(a), area(b)) < 1.5 * Math.min(area(a), area(b)) ? undefined : area(a) > area(b);
}

type Rule<T> = readonly [RegExp, (scene: Scene, words: string[]) => T | undefined];

function judge<T>(rules: readonly Rule<T>[], scene: Scene, sentence: string): T | undefined {
  for (const [pattern, rule] of rules) {
    const match = pattern.exec(sentence);
    if (match) return rule(scene, match.slice(1));
  }
  throw new Error(`no rule reads "${sentence}"`);
}

const both = (scene: Scene, [one, other]: string[]): boolean => amount(scene, one) > 0 && amount(scene, other) > 0;
const twoCounts = (scene: Scene, [n, some, m, others]: string[]): boolean =>
  some !== others && amount(scene, some) === number[n] && amount(scene, others) === number[m];
/** Whether there are more of `some` than of `others`; a comparison with objects that are not in the picture is false. */
const outnumber = (scene: Scene, some: string, others: string): boolean =>
  amount(scene, others) > 0 && amount(scene, some) > amount(scene, others);
const outOfPalette = (scene: Scene, [c, d, n, words]: string[]): boolean =>
  c !== d && amount(scene, c) > 0 && amount(scene, d) > 0 && amount(scene, words.replace(/^a /, '')) === number[n];
const rule = (text: string): RegExp => new RegExp(`^${text}$`);

const captionRules: readonly Rule<boolean>[] = [
  [rule(`${count} shapes? (?:is|are) ${color} and ${count} (?:is|are) ${color}\\.`), twoCounts],
  [
    rule(`(?:there (?:is|are) )?${count} ${color} shapes? (?:and|with) ${count} ${color} (?:shape|one)s?\\.`),
    twoCounts,
  ],
  [rule(`(?:there is )?a ${thing} (?:and|with) a ${thing}\\.`), both],
  [
    rule(`${where} the ${thing} there is a ${thing}\\.`),
    (scene, [relation, other, one]) => stands(scene, one, relation, other),
  ],
  [
    rule(`(?:the|a) ${thing} (?:is|stands) ${where} (?:the|a) ${thing}\\.`),
    (scene, [one, relation, other]) => stands(scene, one, relation, other),
  ],
  [rule(`(?:the|a) ${thing} (?:is|stands) in the ${half} half\\.`), (scene, [one, where]) => inHalf(scene, one, where)],
  [rule(`in the ${half} half there is a ${thing}\\.`), (scene, [where, one]) => inHalf(scene, one, where)],
  [
    rule(`there are (more|fewer) ${color} shapes than ${color} ones\\.`),
    (scene, [how, c, d]) => (how === 'more' ? outnumber(scene, c, d) : outnumber(scene, d, c)),
  ],
  [rule(`more shapes are ${color} than ${color}\\.`), (scene, [c, d]) => outnumber(scene, c, d)],
  [
    rule(`the ${thing} is (larger|smaller) than the ${thing}\\.`),
    (scene, [one, how, other]) => (how === 'larger' ? largerThan(scene, one, other) : largerThan(scene, other, one)),
  ],
  [rule(`of the ${color} and ${color} shapes, ${count} (?:is|are) (a ${noun}|${noun})\\.`), outOfPalette],
  [
    rule(`${count} of the ${color} and ${color} shapes (?:is|are) (a ${noun}|${noun})\\.`),
    (scene, [n, c, d, words]) => outOfPalette(scene, [c, d, n, words]),
  ],
];

const yesNo = (truth: boolean | undefined): string | undefined =>
  truth === undefined ? undefined : truth ? 'yes' : 'no';
const choice = (truth: boolean | undefined, first: string, second: string): string | undefined =>
  truth === undefined ? undefined : truth ? first : second;
/** `value` if the object that the question refers to is in the picture exactly once, or if it refers to none; else undefined. */
const given = <T>(scene: Scene, ref: string | undefined, value: T): T | undefined =>
  ref === undefined || only(scene, ref) ? value : undefined;
const mostColor = (scene: Scene): string | undefined => {
  const counts = colors.map((name) => amount(scene, name));
  const most = Math.max(...counts);
  return counts.filter((count) => count === most).length === 1 ? colors[counts.indexOf(most)] : undefined;
};
const howMany = (scene: Scene, words: string): string | undefined => String(amount(scene, words) || '') || undefined;

const questionRules: readonly Rule<string>[] = [
  [
    rule(`(?:is there|do you see) a ${thing} with the ${thing}\\?`),
    (scene, [target, ref]) => given(scene, ref, yesNo(amount(scene, target) > 0)),
  ],
  [
    rule(`besides the ${thing}, is there a ${thing}\\?`),
    (scene, [ref, target]) => given(scene, ref, yesNo(amount(scene, target) > 0)),
  ],
  [rule(`how many shapes are ${color}\\?`), (scene, [words]) => howMany(scene, words)],
  [rule(`how many shapes are (circles|squares|triangles|stars)\\?`), (scene, [words]) => howMany(scene, words)],
  [rule(`how many ${color} shapes (?:are there|do you see)\\?`), (scene, [words]) => howMany(scene, words)],
  [rule(`how many (${noun}) (?:are there|do you see)\\?`), (scene, [words]) => howMany(scene, words)],
  [
    rule(`what (?:is the )?(color|shape) (?:is|of) the ${thing}(?: with the ${thing})?\\?`),
    (scene, [aspect, target, ref]) => given(scene, ref, only(scene, target)?.[aspect as 'color' | 'shape']),
  ],
  [
    rule(`besides the ${thing}, what (color|shape) is the ${thing}\\?`),
    (scene, [ref, aspect, target]) => given(scene, ref, only(scene, target)?.[aspect as 'color' | 'shape']),
  ],
  [rule('(?:what color are most shapes|what color do most shapes have|which color do you see most)\\?'), mostColor],
  [
    rule(`(?:is|does) the ${thing} (?:look )?larger or smaller than the ${thing}\\?`),
    (scene, [one, other]) => choice(largerThan(scene, one, other), 'larger', 'smaller'),
  ],
  [
    rule(`(?:is|does) the ${thing} (?:stand )?in the ${half} or the ${half} half\\?`),
    (scene, [one, first, second]) => choice(inHalf(scene, one, first), first, second),
  ],
  [
    rule(`(?:is|does) the ${thing} (?:stand )?left or right of the ${thing}\\?`),
    (scene, [one, other]) => choice(stands(scene, one, 'left of', other), 'left', 'right'),
  ],
  [
    rule(`(?:is|does) the ${thing} (?:stand )?above or below the ${thing}\\?`),
    (scene, [one, other]) => choice(stands(scene, one, 'above', other), 'above', 'below'),
  ],
];

/** Whether a caption is true of a scene; undefined if it describes one object, but no object or several fit. */
export const isTrue = (scene: Scene, caption: string): boolean | undefined => judge(captionRules, scene, caption);

/** The answer to a question; undefined if the question assumes an object that is not in the picture. */
export const answer = (scene: Scene, question: string): string | undefined => judge(questionRules, scene, question);

const has = (scene: Scene, words: string): boolean => amount(scene, words) > 0;

type PairRule = readonly [RegExp, (left: Scene, right: Scene, words: string) => boolean];

const pairRules: readonly PairRule[] = [
  [rule(`both pictures have a ${thing}\\.`), (left, right, words) => has(left, words) && has(right, words)],
  [rule(`there is a ${thing} in both pictures\\.`), (left, right, words) => has(left, words) && has(right, words)],
  [rule(`exactly one picture has a ${thing}\\.`), (left, right, words) => has(left, words) !== has(right, words)],
  [
    rule(`there is a ${thing} in exactly one of the pictures\\.`),
    (left, right, words) => has(left, words) !== has(right, words),
  ],
  [rule(`the left picture has a ${thing}\\.`), (left, _, words) => has(left, words)],
  [rule(`there is a ${thing} in the left picture\\.`), (left, _, words) => has(left, words)],
  [rule(`the right picture has a ${thing}\\.`), (_, right, words) => has(right, words)],
  [rule(`there is a ${thing} in the right picture\\.`), (_, right, words) => has(right, words)],
];

/** Whether a statement is true of two pictures. */
export function holdsOfPair(left: Scene, right: Scene, statement: string): boolean {
  for (const [pattern, holds] of pairRules) {
    const match = pattern.exec(statement);
    if (match) return holds(left, right, match[1]);
  }
  throw new Error(`no rule reads "${statement}"`);
}

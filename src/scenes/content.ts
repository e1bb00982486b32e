import { colors, shapes, sizes } from './world.js';
import { numberWords, numbered } from './descriptions.js';

const comparisons = [
  'more',
  'fewer',
  'larger',
  'smaller',
  'left',
  'right',
  'above',
  'below',
  'upper',
  'lower',
] as const;

const content: ReadonlySet<string> = new Set([
  ...colors,
  ...shapes,
  ...shapes.map((shape) => numbered(shape, 2)),
  ...sizes,
  ...numberWords,
  ...comparisons,
]);

/**
 * Finds the words of a caption that depend on the picture: colours, shapes, sizes, numbers, comparisons. Other words
 * can be guessed from the sentence. One of these is "one" at the end of a sentence ("two red shapes and one blue one").
 */
export function contentWords(words: readonly string[]): number[] {
  return words.flatMap((word, i) => (content.has(word) && !(word === 'one' && words[i + 1] === '.') ? [i] : []));
}

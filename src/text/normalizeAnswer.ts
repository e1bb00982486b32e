/** Answers that the original replaces by another answer (its `AnswerTable.ANS_CONVERT`). */
const synonyms = new Map([
  ['a man', 'man'],
  ['the man', 'man'],
  ['a woman', 'woman'],
  ['the woman', 'woman'],
  ['one', '1'],
  ['two', '2'],
  ['three', '3'],
  ['four', '4'],
  ['five', '5'],
  ['six', '6'],
  ['seven', '7'],
  ['eight', '8'],
  ['nine', '9'],
  ['ten', '10'],
  ['grey', 'gray'],
]);

const articles = ['a ', 'an ', 'the '];

/**
 * The blanks that Python's `str.strip` removes. JavaScript's `trim` is different: it also removes U+FEFF, and it does
 * not remove U+001C to U+001F and U+0085.
 */
const blanks = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const outerBlanks = new RegExp(`^${blanks}|${blanks}$`, 'g');

const strip = (text: string) => text.replace(outerBlanks, '');

/**
 * The form in which answers are compared, as in the original. The text is in lower case. One full stop at the end is
 * removed. The articles "a", "an" and "the" are removed from the beginning, in this order and each at most once. Number
 * words become digits.
 */
export function normalizeAnswer(answer: string): string {
  let text = answer.toLowerCase();
  if (text.endsWith('.')) text = strip(text.slice(0, -1));
  for (const article of articles) {
    if (text.startsWith(article)) text = strip(text.slice(article.length));
  }
  return synonyms.get(text) ?? text;
}

/**
 * The answer normalisation of the official VQA evaluation (GT-Vision-Lab/VQA, `vqaEvaluation/vqaEval.py`, the version of
 * March 2021), with its irregular cases, because published accuracies depend on them.
 */

/** Punctuation that is removed or turned into a space. A full stop has a rule of its own; an apostrophe stays. */
const punctuation = ';/[]"{}()=+\\_-><@`,?!'.match(/./g)!;

/** A comma between two digits, as in "1,000". */
const numberComma = /\p{Nd},\p{Nd}/u;

/** A full stop that is not followed by a digit. The official pattern tries to look behind the stop, too, but never does. */
const fullStop = /\.(?!\p{Nd})/gu;
/** The official program passes a flag where a count is expected, so it removes this many full stops at most. */
const mostFullStops = 32;

const numberWords = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'] as const;
const digits = new Map<string, string>([
  ['none', '0'],
  ...numberWords.map((word, number): [string, string] => [word, String(number)]),
]);

const articles = new Set(['a', 'an', 'the']);

/** Contractions whose apostrophe people leave out. The official list has these words only: no "she'd", no "it's". */
const contractions = `
  ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
  how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
  oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
  someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
  they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
  where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
  y'all y'all'll y'all'd've you'd you'd've you'll you're you've
`
  .trim()
  .split(/\s+/);

/** By what is written instead: the contraction with any one of its apostrophes left out. */
const contractionOf = new Map<string, string>([
  ...contractions.flatMap((word) =>
    [...word.matchAll(/'/g)].map(({ index }): [string, string] => [word.slice(0, index) + word.slice(index + 1), word]),
  ),
  // The official list has this one the wrong way round.
  ["somebody'd", 'somebodyd'],
]);

/** Line breaks and tabs become spaces, and spaces at both ends go: what the official evaluation does to every answer. */
export function trimVqaAnswer(answer: string): string {
  return answer.replace(/[\n\t]/g, ' ').trim();
}

/**
 * The form in which the official evaluation compares an answer, when the annotators of the question disagree: without
 * punctuation and articles, in lower case, number words as digits, contractions with their apostrophes.
 */
export function normalizeVqaAnswer(answer: string): string {
  return withoutArticles(withoutPunctuation(trimVqaAnswer(answer)));
}

/** A mark beside a space is removed and any other becomes a space; beside "1,000" all marks are removed. */
function withoutPunctuation(answer: string): string {
  const hasNumberComma = numberComma.test(answer);
  let text = answer;
  for (const mark of punctuation) {
    const removed = hasNumberComma || answer.includes(`${mark} `) || answer.includes(` ${mark}`);
    text = text.replaceAll(mark, removed ? '' : ' ');
  }
  let stops = 0;
  return text.replace(fullStop, (stop) => ((stops += 1) <= mostFullStops ? '' : stop));
}

function withoutArticles(answer: string): string {
  return answer
    .toLowerCase()
    .split(/\s+/u)
    .filter((word) => word !== '')
    .map((word) => digits.get(word) ?? word)
    .filter((word) => !articles.has(word))
    .map((word) => contractionOf.get(word) ?? word)
    .join(' ');
}

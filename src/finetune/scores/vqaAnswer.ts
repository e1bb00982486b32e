/**
 * The answer normalisation of the official VQA evaluation (GT-Vision-Lab/VQA, `vqaEvaluation/vqaEval.py`, the version of
 * March 2021), with its irregular cases, because published accuracies depend on them.
 */

/** Punctuation that is removed or replaced by a space. Full stops have a separate rule, and apostrophes are kept. */
const punctuation = ';/[]"{}()=+\\_-><@`,?!'.match(/./g)!;

/** A comma between two digits, as in "1,000". */
const numberComma = /\p{Nd},\p{Nd}/u;

/**
 * A full stop without a digit after it. The official pattern also has a part for the text before the full stop, but
 * this part has no effect.
 */
const fullStop = /\.(?!\p{Nd})/gu;
/** The official program passes a flag as the count of replacements by mistake, so it removes at most 32 full stops. */
const mostFullStops = 32;

const numberWords = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'] as const;
const digits = new Map<string, string>([
  ['none', '0'],
  ...numberWords.map((word, number): [string, string] => [word, String(number)]),
]);

const articles = new Set(['a', 'an', 'the']);

/** Contractions that people write without the apostrophe. The official list has no others, not even "she'd" and "it's". */
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

/** The contraction for each spelling that leaves out one of its apostrophes. */
const contractionOf = new Map<string, string>([
  ...contractions.flatMap((word) =>
    [...word.matchAll(/'/g)].map(({ index }): [string, string] => [word.slice(0, index) + word.slice(index + 1), word]),
  ),
  // In the official list this entry has its key and value exchanged.
  ["somebody'd", 'somebodyd'],
]);

/** Replaces line breaks and tabs by spaces and removes spaces at both ends. The official evaluation does this to every answer. */
export function trimVqaAnswer(answer: string): string {
  return answer.replace(/[\n\t]/g, ' ').trim();
}

/**
 * Normalises an answer as the official evaluation does if the annotators of the question disagree. It removes
 * punctuation and articles, converts the text to lower case and number words to digits, and adds the apostrophes of
 * contractions.
 */
export function normalizeVqaAnswer(answer: string): string {
  return withoutArticles(withoutPunctuation(trimVqaAnswer(answer)));
}

/** Removes a mark next to a space and replaces other marks by a space. If there is a comma between digits, removes all marks. */
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

/** A word or box, and how much it counts, from 0 to 1. */
export interface ShadedWord {
  readonly text: string;
  readonly share: number;
}

export interface ShadedBox {
  /** x0, y0, x1, y1 as shares of the picture. */
  readonly box: readonly number[];
  readonly share: number;
}

export interface ExplanationPicture {
  /** One line of text at the top. */
  readonly title: string;
  readonly words: readonly ShadedWord[];
  readonly boxes: readonly ShadedBox[];
  /**
   * The picture as a data URL, and its size in pixels. If it is absent, boxes are drawn on an empty frame of 4 to 3.
   */
  readonly picture?: { readonly url: string; readonly width: number; readonly height: number } | undefined;
}

const colour = '#7b1fa2';
const width = 480;
const letter = 8.4; // the width of a letter of a monospace font of 14 pixels
const lineHeight = 24;

/** The explanation as an SVG picture that needs no other file. All texts are escaped, so no text can become markup. */
export function explanationSvg({ title, words, boxes, picture }: ExplanationPicture): string {
  const frame = { width, height: picture ? Math.round((width * picture.height) / picture.width) : (width * 3) / 4 };
  const lines = wordLines(words);
  const height = lineHeight + frame.height + lineHeight * lines.length + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ' font-family="monospace" font-size="14">',
    `  <title>${escaped(title)}</title>`,
    `  <rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `  <text x="4" y="17" fill="#1a1a1a" textLength="${fitted(title)}" lengthAdjust="spacingAndGlyphs">${escaped(title)}</text>`,
    `  <g transform="translate(0 ${lineHeight})">`,
    `    <rect width="${width}" height="${frame.height}" fill="#eeeeee"/>`,
    ...(picture ? [`    <image width="${width}" height="${frame.height}" href="${escaped(picture.url)}"/>`] : []),
    // The most relevant boxes are drawn last, so that no other box hides them.
    ...[...boxes].sort((a, b) => a.share - b.share).map((box) => `    ${boxRect(box, frame.height)}`),
    '  </g>',
    ...lines.flatMap((line, i) => line.map((word) => `  ${wordText(word, lineHeight * (i + 1) + frame.height + 4)}`)),
    '</svg>',
    '',
  ].join('\n');
}

function boxRect({ box: [x0, y0, x1, y1], share }: ShadedBox, height: number): string {
  const [x, y] = [x0 * width, y0 * height].map(number);
  const size = `width="${number((x1 - x0) * width)}" height="${number((y1 - y0) * height)}"`;
  const fill = `fill="${colour}" fill-opacity="${number(0.55 * share)}"`;
  return `<rect x="${x}" y="${y}" ${size} ${fill} stroke="${colour}" stroke-width="${number(1 + 2 * share)}" stroke-opacity="${number(0.25 + 0.75 * share)}"/>`;
}

interface PlacedWord extends ShadedWord {
  readonly x: number;
}

/** The words from left to right; each line has as many words as fit. */
function wordLines(words: readonly ShadedWord[]): PlacedWord[][] {
  const lines: PlacedWord[][] = [[]];
  let x = 4;
  for (const word of words) {
    const step = widthOf(word.text) + 6;
    if (x + step > width && x > 4) {
      lines.push([]);
      x = 4;
    }
    lines[lines.length - 1].push({ ...word, x });
    x += step;
  }
  return lines;
}

function wordText({ text, share, x }: PlacedWord, y: number): string {
  const length = number(widthOf(text));
  return (
    `<g transform="translate(${number(x)} ${y})">` +
    `<rect width="${length}" height="20" fill="${colour}" fill-opacity="${number(0.75 * share)}"/>` +
    `<text x="3" y="15" fill="#1a1a1a" textLength="${number(Math.max(1, widthOf(text) - 6))}">${escaped(text)}</text></g>`
  );
}

const lettersOf = (text: string): number => Math.max(1, Array.from(text).length);
const widthOf = (text: string): number => lettersOf(text) * letter + 6;
const fitted = (title: string): number => number(Math.min(width - 8, lettersOf(title) * letter));
const number = (value: number): number => Number(value.toFixed(2));

/** Text escaped for XML. Characters that XML does not allow become U+FFFD. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => entities[character]);
}

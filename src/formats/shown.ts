const longest = 120;

/**
 * Text out of a file, for a message: in quotes, without control characters (a terminal would obey them), and not longer
 * than a line.
 */
export function shown(text: string): string {
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return `'${escaped(short)}'`;
}

/** The same text with control characters, and characters that reorder a line, written as `\u001b`. */
export function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

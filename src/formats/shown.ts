const longest = 120;

/**
 * Formats text from a file for a message: in quotes, not longer than a line, and without control characters, because a
 * terminal would execute them.
 */
export function shown(text: string): string {
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return `'${escaped(short)}'`;
}

/** Replaces control characters, and characters that change the direction of text, by escapes such as `\u001b`. */
export function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

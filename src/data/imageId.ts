/** Invisible characters: control and format characters (such as byte order mark, zero-width space, NUL). */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/**
 * Returns why a text is not a valid image id, as the end of a message "img_id …"; undefined for a valid id. White space at
 * an end, an invisible character, or quotation marks of the writing program are not allowed: such an id looks like another
 * id, and its picture would not be found.
 */
export function imageIdProblem(id: string): string | undefined {
  if (id.includes('\uFFFD')) return 'is not UTF-8';
  if (/^b'.*'$|^b".*"$/s.test(id)) return "is written as Python's b'…' (bytes that were not decoded)";
  if (/^".*"$|^'.*'$/s.test(id)) return 'is in quotation marks';
  const hidden = unseen.exec(id)?.[0];
  if (hidden === '\uFEFF') return 'has a byte order mark in it, as when two files were joined';
  if (hidden !== undefined) return `has the invisible character ${codePoint(hidden)} in it`;
  if (/^\s|\s$/u.test(id)) return `has white space at its ${/^\s/u.test(id) ? 'start' : 'end'}`;
  return undefined;
}

const codePoint = (character: string) => `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

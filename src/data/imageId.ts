/** Every character but those that are seen: control and format characters (byte order mark, zero-width space, NUL). */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/**
 * What keeps a text from being an image id, for "img_id …": white space at an end, a character that is not seen, or a
 * trace of the program that wrote it. Undefined for a good id. An id that looks like another one without being it would
 * lose its picture in silence.
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

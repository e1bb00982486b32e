import type { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';

/** Characters of base64 that are decoded at a time: whole groups of 4. */
const PIECE = 2 ** 15;
const EQUALS = 0x3d;

/** Characters of base64 for a number of bytes. */
export const base64Length = (bytes: number): number => 4 * Math.ceil(bytes / 3);

/** Bytes that the base64 in `line` from `start` to `end - 1` stands for; not whole when characters are missing. */
export function decodedLength(line: Buffer, start: number, end: number): number {
  const padding = line[end - 1] !== EQUALS ? 0 : line[end - 2] !== EQUALS ? 1 : 2;
  return ((end - start) / 4) * 3 - padding;
}

/**
 * Decodes the base64 in `line` from `start` to `end - 1`; its length was checked, so anything that is not base64 leaves
 * `target` short. A piece at a time: V8 keeps a string of more apart, in fresh pages, which cost many times what decoding
 * does.
 * @param error makes the error from what is wrong, as in `is not base64…`
 */
export function decodeBase64(
  line: Buffer,
  start: number,
  end: number,
  target: Uint8Array,
  error: (problem: string) => LxmertError,
): void {
  const fault = () => error(`is not base64${badCharacter(line, start, end)}`);
  for (let from = start, done = 0; from < end; from += PIECE, done += (PIECE / 4) * 3) {
    const text = line.toString('latin1', from, Math.min(from + PIECE, end));
    decodeBase64Text(text, target.subarray(done, done + (PIECE / 4) * 3), fault);
  }
}

/** Fills `target`; anything but exactly its bytes in the standard alphabet is an error. */
export function decodeBase64Text(text: string, target: Uint8Array, error: () => LxmertError): void {
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  const padding = (3 - (bytes.length % 3)) % 3;
  if (text.length !== base64Length(bytes.length) || !text.endsWith('='.repeat(padding))) throw error();
  // Node skips what is not base64, so a bad character leaves `bytes` short; but it also takes the URL alphabet.
  if (bytes.write(text, 'base64') !== bytes.length || text.includes('-') || text.includes('_')) throw error();
}

function badCharacter(line: Buffer, from: number, to: number): string {
  const text = line.toString('latin1', from, to);
  const body = text.replace(/={0,2}$/, '');
  const at = body.search(/[^A-Za-z0-9+/]/);
  if (at < 0) return ' of the right length';
  const isUrl = (body[at] === '-' || body[at] === '_') && /^[A-Za-z0-9_-]*$/.test(body);
  const hint = isUrl ? '; it is base64 for URLs, which has - and _ in place of + and /' : '';
  return `: found ${describeValue(body[at])} at character ${at + 1}${hint}`;
}

import type { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';

/** Number of base64 characters that are decoded at a time, a multiple of 4. */
const PIECE = 2 ** 15;
const EQUALS = 0x3d;

/** Number of base64 characters for a number of bytes. */
export const base64Length = (bytes: number): number => 4 * Math.ceil(bytes / 3);

/** Number of bytes in the base64 text from `start` to `end - 1` of `line`; not an integer if characters are missing. */
export function decodedLength(line: Buffer, start: number, end: number): number {
  const padding = line[end - 1] !== EQUALS ? 0 : line[end - 2] !== EQUALS ? 1 : 2;
  return ((end - start) / 4) * 3 - padding;
}

/**
 * Decodes the base64 text from `start` to `end - 1` of `line`. The length of the text has been checked, so if it has
 * characters that are not base64, there are fewer decoded bytes than expected. The function decodes one piece at a
 * time, because V8 allocates new pages for a longer string, which takes much longer than decoding.
 * @param error makes the error from a text such as `is not base64…`
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

/**
 * Decodes base64 into `target`. The text must be in the standard alphabet and must have exactly as many bytes as
 * `target`; otherwise it throws an error.
 */
export function decodeBase64Text(text: string, target: Uint8Array, error: () => LxmertError): void {
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  const padding = (3 - (bytes.length % 3)) % 3;
  if (text.length !== base64Length(bytes.length) || !text.endsWith('='.repeat(padding))) throw error();
  // Node skips characters that are not base64, so the number of bytes shows them. But Node also accepts the URL alphabet.
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

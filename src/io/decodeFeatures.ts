import { loadAddon } from '../engine/load.js';
import { translated } from '../engine/native.js';

/**
 * Decodes the base64 text of little-endian float32 numbers in a feature TSV, and checks the numbers. The result is
 * float32 numbers, or the bits of the nearest float16 numbers.
 * @param text contains the base64 text in its bytes from `from` to `to - 1`
 * @param target has one element for each expected number
 * @returns false if there is a fault, or if there may be one: the text is not base64 of that many numbers; a number is
 *   not finite, is beyond 1e6 or is too large for float16; or the numbers are probably of another type. In this case
 *   the content of `target` has no meaning, and the caller must find the cause.
 */
export function decodeFeatures(
  text: Uint8Array,
  from: number,
  to: number,
  target: Float32Array | Uint16Array,
): boolean {
  return translated(() => loadAddon().decodeFeatures(text, from, to, target));
}

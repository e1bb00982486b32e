import { loadAddon } from '../engine/load.js';
import { translated } from '../engine/native.js';

/**
 * Decodes base64 of little-endian float32 numbers, as a feature TSV has them, into float32, or into the bits of the nearest
 * float16 numbers. The numbers are checked on the way.
 * @param text the base64 is its bytes from `from` to `to - 1`
 * @param target as long as there are numbers
 * @returns false where something is wrong or may be: the text is not base64 of that many numbers, one of them is not finite, is
 *   beyond 1e6 or what float16 can hold, or they look like numbers of another type. `target` is undefined then, and the caller
 *   finds out what is wrong.
 */
export function decodeFeatures(
  text: Uint8Array,
  from: number,
  to: number,
  target: Float32Array | Uint16Array,
): boolean {
  return translated(() => loadAddon().decodeFeatures(text, from, to, target));
}

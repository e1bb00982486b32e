/** Normally distributed values by Box and Muller from Philox: block b makes elements 2b and 2b + 1. */
import { philox4x32 } from '../../../../src/data/random.js';

const normalKey = 0x6e6f726d;

export function fillNormal(count: number, deviation: number, seed: number, stream: number): Float64Array {
  const values = new Float64Array(count);
  const words = new Uint32Array(4);
  for (let i = 0; i < count; i += 2) {
    philox4x32([i / 2, 0, 0, stream], [seed, normalKey], words);
    const radius = deviation * Math.sqrt(-2 * Math.log((words[0] + 0.5) / 4294967296));
    const angle = (2 * Math.PI * words[1]) / 4294967296;
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

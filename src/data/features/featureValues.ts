/**
 * Largest value of a feature. RoI features of detectors are less than a few hundred. A larger number means that the file has
 * another type (float64, float16) or byte order, and would make a run diverge.
 */
const LARGEST_FEATURE = 1e6;
/** Number of values that are checked to recognise the type, and the smallest number that is enough for this. */
const MOST_LOOKED_AT = 1024;
const LEAST_LOOKED_AT = 32;
/**
 * Largest accepted standard deviation of the binary exponent. It is about 2 for the features of a detector, and 1.6 for
 * a normal distribution. If float16 is read as float32 it is eight times as large, because three bits of the mantissa
 * become exponent.
 */
const WIDEST_SPREAD = 9;

/**
 * Finds a fault in the features of some objects, [objects × width]. Returns the end of a message "features …"; undefined
 * if the features may be right.
 * @param first the number of the first object
 */
export function featureFault(values: Float32Array, width: number, first = 0): string | undefined {
  for (let i = 0; i < values.length; i++) {
    if (values[i] <= LARGEST_FEATURE && values[i] >= -LARGEST_FEATURE) continue;
    const where = `for object ${first + Math.floor(i / width)}, value ${i % width}`;
    return Number.isFinite(values[i])
      ? `must be at most 1e6 in size, found ${values[i]} ${where}; are they float64, float16 or big-endian? ` +
          'Little-endian float32 is needed'
      : `must be finite, found ${values[i]} ${where}`;
  }
  return otherType(values);
}

/** Recognises numbers of another type that are plausible when they are read as float32. */
function otherType(values: Float32Array): string | undefined {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const step = Math.max(1, Math.ceil(values.length / MOST_LOOKED_AT / 2)) * 2;
  let [count, sum, squares, lows, highs] = [0, 0, 0, 0, 0];
  for (let at = 0; at + 1 < bits.length; at += step) {
    if (bits[at] << 1 !== 0) lows++;
    if (bits[at + 1] << 1 !== 0) highs++;
    for (const word of [bits[at], bits[at + 1]]) {
      if (word << 1 === 0) continue;
      const exponent = (word >>> 23) & 255;
      count++;
      sum += exponent;
      squares += exponent * exponent;
    }
  }
  if (highs >= LEAST_LOOKED_AT && lows === 0) {
    return 'have a zero in every other place, as float64 read as float32 has; float32 is needed';
  }
  if (count < LEAST_LOOKED_AT) return undefined;
  const spread = Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
  if (spread < WIDEST_SPREAD) return undefined;
  return (
    `have sizes from all over (a spread of ${spread.toFixed(0)} binary orders of magnitude), as float16 read as float32 has; ` +
    'float32 is needed'
  );
}

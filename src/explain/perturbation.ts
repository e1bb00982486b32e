/**
 * The perturbation test of Chefer et al. 2021, section 4. It removes words or boxes step by step, in the order of their
 * relevance, and measures the accuracy after each step. If the most relevant are removed first (positive test), the
 * accuracy should fall fast. If the least relevant are removed first (negative test), the accuracy should fall slowly.
 */

/** The shares of the words or boxes that are removed, as in the authors' code. */
export const removedShares = [0, 0.25, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95, 1] as const;

/**
 * How many of `count` words or boxes are kept at each step. The product has the rounding error of float64 and is then
 * rounded down, as in the authors' code.
 */
export const keptCounts = (count: number): number[] => removedShares.map((share) => Math.trunc((1 - share) * count));

/** Which words or boxes are removed first. `most` is the positive test, and `least` is the negative test. */
export const removals = ['most', 'least'] as const;
export type Removal = (typeof removals)[number];

/**
 * The order in which 0 … n - 1 are removed.
 * @param random numbers from 0 to 1, one for each of 0 … n - 1: they determine the order of equal scores
 */
export function removalOrder(scores: ArrayLike<number>, first: Removal, random: ArrayLike<number>): number[] {
  const sign = first === 'most' ? -1 : 1;
  return Array.from(scores, (_, i) => i).sort((a, b) => sign * (scores[a] - scores[b]) || random[a] - random[b]);
}

/**
 * The area under a curve over `removedShares`, by trapezoids. It is the mean accuracy over the removed shares from 0 to
 * 1.
 */
export function areaUnder(curve: readonly number[]): number {
  let area = 0;
  for (let i = 1; i < removedShares.length; i++)
    area += (removedShares[i] - removedShares[i - 1]) * ((curve[i] + curve[i - 1]) / 2);
  return area;
}

/** The mean of some values, and its standard error: their standard deviation / √n. */
export function meanAndError(values: readonly number[]): { readonly mean: number; readonly error: number } {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : NaN };
}

/** Median, shortest and longest of several times, in milliseconds. */
export interface Times {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The middle value. For an even number of values, the mean of the two middle ones. For no values, NaN. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function timesOf(milliseconds: readonly number[]): Times {
  return { median: median(milliseconds), min: Math.min(...milliseconds), max: Math.max(...milliseconds) };
}

/** Runs `work` and returns its time in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

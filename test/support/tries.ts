/**
 * Returns the first good result of five tries, else the last result. It is for checks that other work on the machine can
 * disturb now and then, but hardly five times in a row; a real fault makes all five fail.
 */
export async function firstGood<T>(attempt: () => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let left = 4; ; left--) {
    const result = await attempt();
    if (left === 0 || isGood(result)) return result;
  }
}

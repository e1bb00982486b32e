/**
 * Returns the first good result of five tries, else the last result. It is for checks that other work on the machine
 * can disturb sometimes, but probably not five times in a row. A real fault makes all five tries fail.
 */
export async function firstGood<T>(attempt: () => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let left = 4; ; left--) {
    const result = await attempt();
    if (left === 0 || isGood(result)) return result;
  }
}

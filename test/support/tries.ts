/**
 * The first of five tries that is good, else the last. For what a machine with other work can spoil at any time, but not
 * five times in a row: a fault spoils them all.
 */
export async function firstGood<T>(attempt: () => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let left = 4; ; left--) {
    const result = await attempt();
    if (left === 0 || isGood(result)) return result;
  }
}

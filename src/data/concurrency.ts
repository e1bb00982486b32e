/**
 * Starts a piece of work for every item and yields the results in the items' order, up to `depth` of them begun before
 * they are asked for. An error comes where its result would have.
 */
export async function* ahead<T, R>(
  items: Iterator<T>,
  start: (item: T) => Promise<R>,
  depth: number,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  const fill = () => {
    while (begun.length < depth) {
      const next = items.next();
      if (next.done === true) return;
      const result = start(next.value);
      // The error is thrown when its turn comes; until then it must not count as unhandled.
      result.catch(() => undefined);
      begun.push(result);
    }
  };
  for (;;) {
    fill();
    const first = begun.shift();
    if (first === undefined) return;
    const value = await first;
    fill();
    yield value;
  }
}

/**
 * All results in order; of several errors the first one. It waits for every promise, so that no work still runs, or
 * writes into memory that is given back, when the error is thrown.
 */
export async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/** How many images are read at once: enough to keep a disk busy, few enough to keep memory flat. */
const readsAtOnce = 16;

/** Does `work` for 0 … count - 1, some at a time; of several that fail, the first one's error is thrown. */
export async function inGroups(count: number, work: (i: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += readsAtOnce) {
    const length = Math.min(readsAtOnce, count - start);
    await allSettled(Array.from({ length }, (_, i) => work(start + i)));
  }
}

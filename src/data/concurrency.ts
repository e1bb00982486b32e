/**
 * Starts a piece of work for every item, and yields the results in the order of the items. At most `depth` pieces are
 * started before their results are requested. An error is thrown at the place of its result.
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
      // The error is thrown later, at the place of its result. Until then Node must not report it as unhandled.
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
 * Returns all results in order, or throws the first error. It waits for every promise first. So when the error is
 * thrown, no work is running that could write into released memory.
 */
export async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/** Number of images that are read at once: enough to keep a disk busy, and few enough to need little memory. */
const readsAtOnce = 16;

/** Calls `work` for 0 … count - 1, several at a time. If several calls fail, throws the error of the first. */
export async function inGroups(count: number, work: (i: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += readsAtOnce) {
    const length = Math.min(readsAtOnce, count - start);
    await allSettled(Array.from({ length }, (_, i) => work(start + i)));
  }
}

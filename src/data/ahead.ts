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
      // It is seen when its turn comes; until then it must not count as unhandled.
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

/** The numbers from `begin` to `end - 1`. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** A set of numbers. It is stored as a list of ranges in ascending order, with a gap between any two ranges. */
export class Ranges implements Iterable<Range> {
  #list: Range[];

  constructor(ranges: Iterable<Range> = []) {
    this.#list = [];
    for (const { begin, end } of ranges) this.add(begin, end);
  }

  [Symbol.iterator](): Iterator<Range> {
    return this.#list[Symbol.iterator]();
  }

  add(begin: number, end: number): void {
    if (begin >= end) return;
    const touching = this.#span((range) => range.end >= begin && range.begin <= end, begin);
    const merged = {
      begin: Math.min(begin, touching.ranges[0]?.begin ?? begin),
      end: Math.max(end, touching.ranges.at(-1)?.end ?? end),
    };
    this.#list.splice(touching.at, touching.ranges.length, merged);
  }

  remove(begin: number, end: number): void {
    if (begin >= end) return;
    const cut = this.#span((range) => range.end > begin && range.begin < end, begin);
    const [first] = cut.ranges;
    const last = cut.ranges.at(-1);
    if (!first || !last) return;
    const rest = [
      { begin: first.begin, end: begin },
      { begin: end, end: last.end },
    ];
    this.#list.splice(cut.at, cut.ranges.length, ...rest.filter((range) => range.begin < range.end));
  }

  overlaps(begin: number, end: number): boolean {
    return this.#list.some((range) => range.begin < end && range.end > begin);
  }

  /** The parts of [begin, end) that are not in the set. */
  gaps(begin: number, end: number): Range[] {
    const gaps = new Ranges([{ begin, end }]);
    for (const range of this.#list) gaps.remove(range.begin, range.end);
    return gaps.#list;
  }

  /** Of the ranges with at least `size` numbers, returns the lowest one or the highest one, as `end` says. */
  find(size: number, end: 'lowest' | 'highest'): Range | undefined {
    const fits = (range: Range): boolean => range.end - range.begin >= size;
    return end === 'lowest' ? this.#list.find(fits) : this.#list.findLast(fits);
  }

  /**
   * The ranges for which `wanted` is true, which must be neighbours in the list, and the index of the first one. If
   * there is no such range, `at` is the index at which a new range must be inserted.
   */
  #span(wanted: (range: Range) => boolean, begin: number): { at: number; ranges: readonly Range[] } {
    const ranges = this.#list.filter(wanted);
    const at = ranges[0] ? this.#list.indexOf(ranges[0]) : this.#list.findIndex((range) => range.begin >= begin);
    return { at: at < 0 ? this.#list.length : at, ranges };
  }
}

/** How many images are read at once: enough to keep a disk busy, few enough to keep memory flat. */
const READS_AT_ONCE = 16;

/** Does `work` for 0 … count - 1, some at a time. */
export async function inGroups(count: number, work: (i: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += READS_AT_ONCE) {
    const length = Math.min(READS_AT_ONCE, count - start);
    await Promise.all(Array.from({ length }, (_, i) => work(start + i)));
  }
}

/** How many images are read at once: enough to keep a disk busy, few enough to keep memory flat. */
const READS_AT_ONCE = 16;

/** Does `work` for 0 … count - 1, some at a time; of several that fail, the first one's error is told. */
export async function inGroups(count: number, work: (i: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += READS_AT_ONCE) {
    const length = Math.min(READS_AT_ONCE, count - start);
    // All of them: nobody may still be writing to memory that is given back after an error.
    const settled = await Promise.allSettled(Array.from({ length }, (_, i) => work(start + i)));
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
  }
}

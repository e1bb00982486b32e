// What the children of these tests measure about themselves. Loads no addon.
import { readdirSync, readFileSync } from 'node:fs';

export const mebibyte = 2 ** 20;

/** Resident memory of this process. */
export const residentMiB = () => process.memoryUsage.rss() / mebibyte;

/** Threads of engines, OpenMP's among them: the system knows them by the name of their engine's thread. */
export function engineThreads() {
  let count = 0;
  for (const id of readdirSync('/proc/self/task')) {
    try {
      if (readFileSync(`/proc/self/task/${id}/comm`, 'utf8').startsWith('lxmert')) count++;
    } catch {
      // It has ended meanwhile.
    }
  }
  return count;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` holds, at most so long; says whether it does. */
export async function until(condition, ms = 10_000) {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(5)) if (condition()) return true;
  return condition();
}

/** The measurements of a child, read by `runChild`. */
export const report = (values) => process.stdout.write(`\nREPORT ${JSON.stringify(values)}\n`);

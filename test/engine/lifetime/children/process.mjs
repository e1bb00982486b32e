// Functions with which a child process of these tests measures itself. This file does not load the addon.
import { readdirSync, readFileSync } from 'node:fs';

export const mebibyte = 2 ** 20;

/** Private memory of this process, including swapped memory. Pages of files are not counted, because the system may drop them. */
export function ownMiB() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const [resident, swapped] = ['RssAnon', 'VmSwap'].map((name) =>
    new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status),
  );
  return resident && swapped ? (Number(resident[1]) + Number(swapped[1])) / 1024 : process.memoryUsage.rss() / mebibyte;
}

/** The number of threads of engines, including those of OpenMP, which have the same thread name. */
export function engineThreads() {
  let count = 0;
  for (const id of readdirSync('/proc/self/task')) {
    try {
      if (readFileSync(`/proc/self/task/${id}/comm`, 'utf8').startsWith('lxmert')) count++;
    } catch {
      // the thread has ended in the meantime
    }
  }
  return count;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` is true, with a long time limit. Returns whether it is true. */
export async function until(condition) {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(5)) if (condition()) return true;
  return condition();
}

/** The measurements of a child, read by `runChild`. */
export const report = (values) => process.stdout.write(`\nREPORT ${JSON.stringify(values)}\n`);

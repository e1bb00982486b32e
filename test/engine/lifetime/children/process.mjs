// What the children of these tests measure about themselves. Loads no addon.
import { readdirSync, readFileSync } from 'node:fs';

export const mebibyte = 2 ** 20;

/** Memory that is this process's own, swapped out or not; pages of files come and go as the system likes. */
export function ownMiB() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const [resident, swapped] = ['RssAnon', 'VmSwap'].map((name) =>
    new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status),
  );
  return resident && swapped ? (Number(resident[1]) + Number(swapped[1])) / 1024 : process.memoryUsage.rss() / mebibyte;
}

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

/** Waits until `condition` holds, longer than any machine needs; says whether it does. */
export async function until(condition) {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(5)) if (condition()) return true;
  return condition();
}

/** The measurements of a child, read by `runChild`. */
export const report = (values) => process.stdout.write(`\nREPORT ${JSON.stringify(values)}\n`);

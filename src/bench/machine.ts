import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';

/** What a figure was measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Processes that wanted to run, on average over the last minute: much above the bench's own threads is noise. */
  readonly load: number;
}

export function thisMachine(): Machine {
  return { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), load: loadavg()[0] };
}

/** Threads that `0` stands for: one a core that this process may use. */
export function threadCount(threads: number): number {
  return threads > 0 ? threads : availableParallelism();
}

/** The most memory that this process ever held, in bytes (resident set, its high-water mark). */
export function peakMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kilobytes !== undefined) return 1024 * Number(kilobytes);
  } catch {
    // No /proc: the next best.
  }
  return 1024 * process.resourceUsage().maxRSS;
}

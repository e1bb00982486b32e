import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';

/** The machine on which a figure was measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /**
   * Load average of the last minute. If it is much larger than the number of threads of the benchmark, other programs
   * disturb the measurement.
   */
  readonly load: number;
}

export function thisMachine(): Machine {
  return { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), load: loadavg()[0] };
}

/** The number of threads for `0`: one for each core that this process may use. */
export function threadCount(threads: number): number {
  return threads > 0 ? threads : availableParallelism();
}

/** The largest memory of this process so far, in bytes (high-water mark of the resident set). */
export function peakMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kilobytes !== undefined) return 1024 * Number(kilobytes);
  } catch {
    // without /proc this is the best estimate
  }
  return 1024 * process.resourceUsage().maxRSS;
}

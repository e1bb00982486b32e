import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface ChildOptions {
  /** Flags of node. */
  readonly node?: readonly string[];
  /** Milliseconds after which a hanging child is ended by SIGKILL, which makes the test fail. */
  readonly timeoutMs?: number;
  /** Limit of the process's address space (ulimit -v), in KiB. */
  readonly addressSpace?: number;
  /** Sends SIGTERM when this text has been printed. */
  readonly terminateAt?: string;
}

export interface Child<Report> {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The values that the child printed with `report`; empty if it ended before. */
  readonly report: Report;
}

/**
 * Runs a script of ./children in a separate process, so that a crash gives an exit code. The process allocates memory
 * from only one pool. With several pools, freed memory would stay in the process when threads start and end, and would
 * look like a leak.
 */
export function runChild<Report = unknown>(
  script: string,
  args: readonly string[] = [],
  options: ChildOptions = {},
): Promise<Child<Report>> {
  const { node = [], timeoutMs = 300_000, addressSpace, terminateAt } = options;
  const command = [process.execPath, ...node, join(import.meta.dirname, 'children', script), ...args];
  const limited =
    addressSpace === undefined ? command : ['sh', '-c', `ulimit -v ${addressSpace} && exec "$@"`, 'sh', ...command];
  const env: NodeJS.ProcessEnv = { ...process.env, MALLOC_ARENA_MAX: '1' };
  delete env['NODE_OPTIONS'];
  const child = spawn(limited[0], limited.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (terminateAt !== undefined && stdout.includes(terminateAt)) child.kill('SIGTERM');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => {
      clearTimeout(timer);
      const line = /^REPORT (.*)$/m.exec(stdout)?.[1];
      const report = (line === undefined ? {} : JSON.parse(line)) as Report;
      resolve({ code, signal, stdout, stderr, report });
    });
  });
}

/** The properties of a child that ended without an error: `expect(child).toMatchObject(endedWell)`. */
export const endedWell = { code: 0, signal: null, stderr: '' } as const;

import { readFileSync } from 'node:fs';

/** Milliseconds between two checks. */
const interval = 1000;
/** There are at most this many processes up to npm: npm, a shell, a script, a program of the script, and so on. */
const mostLevels = 6;

/** A process and the parent that it had when the run began. */
interface Link {
  readonly pid: number;
  readonly parent: number;
}

/**
 * Calls `gone` once, if npm or npx started this process and one of the processes between them has ended. SIGTERM to npx ends
 * npx and its shell, but if the shell is dash (Debian, Ubuntu), the program continues without them. Does nothing for a
 * program that was started in another way.
 * @returns a function that ends the checks
 */
export function watchNpm(gone: () => void): () => void {
  const { npm_command: command, npm_lifecycle_event: event } = process.env;
  const links = command === undefined && event === undefined ? [] : linksToNpm();
  if (links.length === 0) return () => undefined;
  const timer = setInterval(() => {
    if (links.every(({ pid, parent }) => parentOf(pid) === parent)) return;
    clearInterval(timer);
    gone();
  }, interval);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * The processes from this one up to npm; empty if npm did not start this process. All must belong to one session: if npm
 * opened a terminal, the shell in it has another session, and its programs may continue after npm has ended.
 */
function linksToNpm(): readonly Link[] {
  const own = { pid: process.pid, parent: process.ppid };
  const session = readProcess(own.pid)?.session;
  // Without /proc, only the parent can be checked.
  if (session === undefined) return [own];
  const links: Link[] = [own];
  for (let level = 0; level < mostLevels; level++) {
    const { parent: pid } = links[level];
    const found = readProcess(pid);
    if (found?.session !== session) return [];
    if (isNpm(pid)) return links;
    links.push({ pid, parent: found.parent });
  }
  return [];
}

const parentOf = (pid: number): number | undefined => (pid === process.pid ? process.ppid : readProcess(pid)?.parent);

function readProcess(pid: number): { readonly parent: number; readonly session: number } | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // Parent and session are fields 4 and 6. The name in field 2 may contain spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), session: Number(fields[3]) };
}

/** npm sets the title of its process to `npm exec …`; before that it is `node …/npx`. */
const isNpm = (pid: number): boolean => {
  const [program = '', script = ''] = (textOf(`/proc/${pid}/cmdline`) ?? '').split('\0');
  return [program, script].some((word) => /(^|\/)(npm|npx|pnpm|yarn)(-cli)?(\.c?js)?( |$)/.test(word));
};

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

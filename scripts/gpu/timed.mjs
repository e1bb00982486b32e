import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/** Time between SIGTERM and SIGKILL. */
const GRACE_MS = 3000;

/**
 * Runs a command with its output in a file. After the time limit, ends the command and all processes that it started.
 * @param {readonly string[]} command
 * @param {{ log: string, seconds: number, env?: NodeJS.ProcessEnv, stdout?: string }} options the file is appended to;
 * `stdout` names another file for standard output
 * @returns {Promise<{ code: number | null, problem: string, outOfTime: boolean }>} `problem` is '' for exit code 0
 */
export async function runTimed(command, { log, seconds, env = process.env, stdout }) {
  const file = openSync(log, 'a');
  writeSync(file, `$ ${command.join(' ')}\n`);
  const out = stdout === undefined ? file : openSync(stdout, 'w');
  let outOfTime = false;
  try {
    // The command gets a process group, so that all its processes can be ended together.
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', out, file], env, detached: true });
    const signal = (name) => {
      try {
        process.kill(-child.pid, name);
      } catch {
        // The process has ended in the meantime.
      }
    };
    let last;
    const timer = setTimeout(() => {
      outOfTime = true;
      signal('SIGTERM');
      last = setTimeout(signal, GRACE_MS, 'SIGKILL');
    }, seconds * 1000);
    const [code, problem] = await new Promise((done) => {
      child.on('error', (error) => done([null, error.message]));
      child.on('close', (status, by) =>
        done([status, status === 0 ? '' : by ? `ended by ${by}` : `exit code ${status}`]),
      );
    });
    clearTimeout(timer);
    clearTimeout(last);
    if (outOfTime) signal('SIGKILL'); // ends processes of the group that are still running
    return { code, problem: outOfTime ? 'out of time' : problem, outOfTime };
  } finally {
    closeSync(file);
    if (out !== file) closeSync(out);
  }
}

/** The text of a file; '' if it does not exist. */
export function textOf(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';

/** Number of last lines of a failed step that are shown. */
const TAIL_LINES = 40;

/** The error of a failed step. `message` says what failed, and `hint` says what the user can do. */
export class StepError extends Error {
  /**
   * @param {string} message
   * @param {{ tail?: string, hint?: string }} [details] the last output of the step, and what the user can do
   */
  constructor(message, { tail = '', hint = '' } = {}) {
    super(message);
    this.tail = tail;
    this.hint = hint;
  }
}

/** Prints a line of progress on stderr. @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** The last lines of a text, without the lines that node-gyp adds after each error. @param {string} text */
export function tailOf(text) {
  const lines = text.trimEnd().split('\n');
  return lines
    .filter((line) => !/^gyp (ERR!|info) (stack|System|command|cwd|node|not ok)/.test(line))
    .slice(-TAIL_LINES)
    .join('\n');
}

/**
 * The output of a short command; null if it cannot be started or fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} [input] its standard input
 */
export function outputOf(command, args, input = '') {
  const result = spawnSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  return result.status === 0 ? result.stdout : null;
}

/**
 * Runs a longer step. Prints one line at its beginning and one at its end. The output is not printed; if the step fails, the
 * StepError has its last lines. With LXMERT_VERBOSE=1 all output is printed.
 * @param {string} title a description of the step
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, hint?: string }} options
 */
export async function runStep(title, command, args, { cwd, env = process.env, hint = '' }) {
  say(`setup: ${title} ...`);
  const start = performance.now();
  const verbose = process.env.LXMERT_VERBOSE === '1';
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      // Only the end of the output is kept, because a compiler can write megabytes.
      output = (output + text).slice(-200_000);
      if (verbose) process.stderr.write(text);
    });
  }
  const end = await new Promise((resolve) => {
    child.on('error', (error) => resolve(`cannot start ${command}: ${error.message}`));
    child.on('close', (code, signal) => resolve(code === 0 ? '' : signal ? `ended by ${signal}` : `exit code ${code}`));
  });
  if (end !== '') {
    throw new StepError(`${title}: failed (${end})`, { tail: verbose ? '' : tailOf(output), hint });
  }
  say(`setup: ${title}: done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/**
 * Runs a program in the foreground: the program uses the terminal and handles Ctrl-C and SIGTERM.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string }} options
 * @returns {Promise<number>} its exit code; 128 + the signal's number when a signal ended it
 */
export async function runForeground(command, args, { cwd }) {
  const child = spawn(command, args, { cwd, stdio: 'inherit' });
  const ignore = () => {}; // the terminal sends SIGINT to both
  const pass = () => child.kill('SIGTERM');
  process.on('SIGINT', ignore);
  process.on('SIGTERM', pass);
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
    });
  } finally {
    process.off('SIGINT', ignore);
    process.off('SIGTERM', pass);
  }
}

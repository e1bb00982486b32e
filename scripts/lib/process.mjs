import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';

/** How many of the last lines of a failed step are shown. */
const TAIL_LINES = 40;

/** A step that failed; `message` says what, `hint` what to do about it. */
export class StepError extends Error {
  /**
   * @param {string} message
   * @param {{ tail?: string, hint?: string }} [details] last output of the step; what the user can do
   */
  constructor(message, { tail = '', hint = '' } = {}) {
    super(message);
    this.tail = tail;
    this.hint = hint;
  }
}

/** @param {string} line one line of progress, on stderr */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** The last lines of a text, without what node-gyp says about itself after each error. @param {string} text */
export function tailOf(text) {
  const lines = text.trimEnd().split('\n');
  return lines
    .filter((line) => !/^gyp (ERR!|info) (stack|System|command|cwd|node|not ok)/.test(line))
    .slice(-TAIL_LINES)
    .join('\n');
}

/**
 * Output of a short command, or null when it cannot be started or fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} [input] its standard input
 */
export function outputOf(command, args, input = '') {
  const result = spawnSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  return result.status === 0 ? result.stdout : null;
}

/**
 * Runs a step of some length: one line when it begins and one when it ends. Its output is kept back, and its end is
 * part of the StepError when it fails; LXMERT_VERBOSE=1 passes all of it on.
 * @param {string} title what is being done
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
      // The end is enough: a compiler can write megabytes.
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
 * Runs a program in the foreground: it has the terminal, and it is the one to answer Ctrl-C and SIGTERM.
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

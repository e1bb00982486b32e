import { ensureAddon } from './addon.mjs';
import { alone } from './lock.mjs';
import { ensureMpiWhereItIs } from './mpi.mjs';
import { ensureBinLink, ensureNpmPackages } from './npmPackages.mjs';
import { say, StepError } from './process.mjs';
import { ensureCompiled } from './typescript.mjs';

/** The same version as in "engines" of package.json. */
const OLDEST_NODE = [20, 17];

function checkMachine() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    throw new StepError(`Node ${process.versions.node} is too old: lxmert needs ${OLDEST_NODE.join('.')} or newer`, {
      hint: 'Install a newer Node.',
    });
  }
  if (process.platform !== 'linux') {
    throw new StepError(`the native addon builds on Linux; this is ${process.platform}`, {
      hint: 'Use a Linux machine, a container or WSL.',
    });
  }
}

/** Installs and builds all parts that are missing in the checkout. This is fast if nothing has changed. */
export async function setup() {
  const start = performance.now();
  checkMachine();
  const done = await alone(async () => {
    const steps = [await ensureNpmPackages(), await ensureAddon(), await ensureMpiWhereItIs(), await ensureCompiled()];
    ensureBinLink();
    return steps.includes(true);
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  say(done ? `setup: ready (${seconds} s)` : `setup: nothing to do (${seconds} s)`);
}

/** Runs a script's work. A failed step ends the script with exit code 1, and with a message instead of a stack. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    if (error.tail !== '') say(error.tail);
    say(`\nlxmert: ${error.message}`);
    if (error.hint !== '') say(error.hint);
    process.exitCode = 1;
  }
}

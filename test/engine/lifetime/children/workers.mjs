// Workers are terminated at random times, several at a time. Arguments: the number of rounds; the number of rounds
// after which memory must not grow any more; the tolerance in MiB; and `main` if this thread should use an engine at
// the same time. Without `main` Node unloads the addon when the last worker has ended.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { engineThreads, ownMiB, report, sleep, until } from './process.mjs';

const [rounds, settled, hardly] = process.argv.slice(2).map(Number);
const where = process.argv[5];
let busy = 0;
const habits = ['calls', 'errors', 'queue', 'results', 'engines'];

async function startAndTerminate(habit) {
  const worker = new Worker(new URL('./busyWorker.mjs', import.meta.url), { workerData: { habit } });
  worker.on('error', (error) => {
    throw error;
  });
  const isBusy = once(worker, 'message').then(() => busy++);
  // Some workers are terminated while they load the addon, most in the middle of their work.
  if (Math.random() < 0.2) await sleep(Math.random() * 80);
  else await isBusy;
  await sleep(Math.random() * 60);
  await worker.terminate();
}

const own = where === 'main' ? await import('./addon.mjs') : undefined;
const engine = own?.newEngine();
let mine = 0;

async function runRound(round) {
  const terminated = [0, 1, 2].map((i) => startAndTerminate(habits[(round + i) % habits.length]));
  if (own) {
    own.fill(engine, own.arena.workspace, 16, round);
    const values = await own.addon.read(engine, own.arena.workspace, 0, new Float32Array(16));
    if (values.every((value) => value === round)) mine++;
  }
  await Promise.all(terminated);
}

// The memory of a worker may be released late, and its size varies. A leak appears in every round.
let [round, grown] = [0, Infinity];
const runRounds = async (count) => {
  for (const end = round + count; round < end; round++) await runRound(round);
};
await runRounds(settled);
for (let tries = 0; tries < 5 && grown > hardly; tries++) {
  const before = ownMiB();
  await runRounds(rounds - settled);
  grown = Math.round(ownMiB() - before);
}
if (own) await own.addon.dispose(engine);
const ended = await until(() => engineThreads() === 0);
report({ rounds: round, busy, mine, ended, threads: engineThreads(), grown });

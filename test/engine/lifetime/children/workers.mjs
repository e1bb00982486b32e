// Workers are terminated at random moments of their work, several at a time. Arguments: how many rounds, and `main` when
// this thread is to use an engine meanwhile; without it the addon goes when the last worker has gone.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { engineThreads, report, residentMiB, sleep, until } from './process.mjs';

const [rounds, where] = process.argv.slice(2);
let busy = 0;
const habits = ['calls', 'errors', 'queue', 'results', 'engines'];

async function startAndTerminate(habit) {
  const worker = new Worker(new URL('./busyWorker.mjs', import.meta.url), { workerData: { habit } });
  worker.on('error', (error) => {
    throw error;
  });
  const isBusy = once(worker, 'message').then(() => busy++);
  // Some while they load the addon, most in the middle of their work.
  if (Math.random() < 0.2) await sleep(Math.random() * 80);
  else await isBusy;
  await sleep(Math.random() * 60);
  await worker.terminate();
}

const own = where === 'main' ? await import('./addon.mjs') : undefined;
const engine = own?.newEngine();
let mine = 0;

const residentAt = [];
for (let round = 0; round < Number(rounds); round++) {
  const terminated = [0, 1, 2].map((i) => startAndTerminate(habits[(round + i) % habits.length]));
  if (own) {
    own.fill(engine, own.arena.workspace, 16, round);
    const values = await own.addon.read(engine, own.arena.workspace, 0, new Float32Array(16));
    if (values.every((value) => value === round)) mine++;
  }
  await Promise.all(terminated);
  residentAt.push(Math.round(residentMiB()));
}
if (own) await own.addon.dispose(engine);
const ended = await until(() => engineThreads() === 0);
report({ busy, mine, ended, threads: engineThreads(), residentAt });

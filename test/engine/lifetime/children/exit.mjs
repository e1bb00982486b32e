// Ways in which a process can end while an engine is at work for about ten minutes more.
import { Worker } from 'node:worker_threads';
import { addon, arena, fill, newEngine, product } from './addon.mjs';
import { sleep } from './process.mjs';

const engine = newEngine();
product(engine);
await addon.synchronize(engine);
let milliseconds = Infinity;
for (let i = 0; i < 3; i++) {
  const start = performance.now();
  product(engine);
  await addon.synchronize(engine);
  milliseconds = Math.min(milliseconds, performance.now() - start);
}

const work = (on, seconds) => {
  for (let left = seconds * 1000; left > 0; left -= milliseconds) product(on);
};
const endless = (on = engine, seconds = 600) => {
  work(on, seconds);
  return addon.synchronize(on);
};
const say = (text) => process.stdout.write(`${text}\n`);

const ways = {
  async exit() {
    void endless();
    await sleep(50);
    process.exit(7);
  },
  exitAtOnce() {
    void endless();
    process.exit(7);
  },
  async exitWithMany() {
    for (let i = 0; i < 10; i++) void endless(newEngine(), 60);
    await sleep(20);
    process.exit(7);
  },
  async exitWhileDisposing() {
    void endless();
    void addon.dispose(engine);
    await sleep(20);
    process.exit(7);
  },
  async exception() {
    void endless();
    await sleep(50);
    throw new Error('on purpose');
  },
  async rejection() {
    void endless();
    await sleep(20);
    void Promise.reject(new Error('on purpose'));
  },
  async exitWithWorkers() {
    void endless();
    const url = new URL('./busyWorker.mjs', import.meta.url);
    const workers = ['calls', 'queue', 'results'].map((habit) => new Worker(url, { workerData: { habit } }));
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
    process.exit(7);
  },
  async terminated() {
    void endless();
    await sleep(20);
    say('at work');
  },
  /** An engine that has nothing to do keeps nobody alive. */
  async idle() {
    await addon.read(engine, arena.workspace, 0, new Float32Array(4));
    say('read');
  },
  /** Nor does one with work that nobody waits for. */
  unseen() {
    work(engine, 600);
    say('enqueued');
  },
  /** A promise does, though nothing else is left to wait for. */
  pending() {
    work(engine, 0.5);
    fill(engine, arena.workspace, 4, 5);
    addon.read(engine, arena.workspace, 0, new Float32Array(4)).then((values) => say(`read ${values[3]}`));
    say('enqueued');
  },
  /** So does a disposal. */
  disposing() {
    work(engine, 0.5);
    addon.dispose(engine).then(() => say('disposed'));
    say('enqueued');
  },
};

// Not awaited: what keeps the process alive is to be seen.
ways[process.argv[2]]();

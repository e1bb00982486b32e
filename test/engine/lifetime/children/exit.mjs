// Tests the ways in which a process can end while an engine has work for about ten more minutes.
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
  /** An idle engine does not keep the process alive. */
  async idle() {
    await addon.read(engine, arena.workspace, 0, new Float32Array(4));
    say('read');
  },
  /** An engine with work for which no promise waits does not keep it alive either. */
  unseen() {
    work(engine, 600);
    say('enqueued');
  },
  /** Only the promise keeps the process alive. */
  pending() {
    work(engine, 0.5);
    fill(engine, arena.workspace, 4, 5);
    addon.read(engine, arena.workspace, 0, new Float32Array(4)).then((values) => say(`read ${values[3]}`));
    say('enqueued');
  },
  /** A disposal keeps it alive, too. */
  disposing() {
    work(engine, 0.5);
    addon.dispose(engine).then(() => say('disposed'));
    say('enqueued');
  },
};

// This is not awaited, because the test checks what keeps the process alive.
ways[process.argv[2]]();

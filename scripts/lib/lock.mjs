import { statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint, root } from './paths.mjs';
import { say } from './process.mjs';

const WAIT_MS = 250;

/** Time in which the process with the lock, which may be busy, must send its process id. */
const ANSWER_MS = 2000;

/**
 * The name of a socket in Linux's abstract namespace, which is not a file. Only one process can listen at a name. When
 * this process ends, for any reason, the kernel frees the name. So no stale lock can remain.
 */
function nameOf(what) {
  const { dev, ino } = statSync(root);
  return `\0lxmert-${fingerprint([], [root, `${dev} ${ino} ${process.getuid?.() ?? 0}`, what]).slice(0, 32)}`;
}

/** A server that has the name and sends its process id to every client; null if another process has the name. */
function take(name) {
  const server = createServer((client) => client.on('error', () => {}).end(`${process.pid}`));
  return new Promise((resolve, reject) => {
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
    server.listen(name, () => resolve(server.unref()));
  });
}

/** The process id of the process with the lock; '' if it has just ended, or does not answer in time. */
function holder(name) {
  return new Promise((resolve) => {
    let text = '';
    const client = connect(name);
    client.setEncoding('utf8').setTimeout(ANSWER_MS, () => client.destroy());
    client.on('data', (part) => (text += part));
    client.on('error', () => {});
    client.on('close', () => resolve(text));
  });
}

/**
 * Runs `work` while no other setup (or other named work) of this checkout runs. Two at the same time would overwrite each
 * other's files.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(work, what = 'setup') {
  const name = nameOf(what);
  let told = false;
  let server = await take(name);
  while (server === null) {
    if (!told) {
      const pid = await holder(name);
      say(`setup: waiting for another ${what} of this folder${pid === '' ? '' : ` (process ${pid})`} ...`);
      told = true;
    }
    await sleep(WAIT_MS);
    server = await take(name);
  }
  try {
    return await work();
  } finally {
    await new Promise((done) => server.close(done));
  }
}

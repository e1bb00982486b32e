import { statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint, root } from './paths.mjs';
import { say } from './process.mjs';

const WAIT_MS = 250;

/** How long the holder, who may be busy, has to say who it is. */
const ANSWER_MS = 2000;

/**
 * The name of a socket in Linux's abstract namespace, which is in no folder. Only one process can listen at a name, and the
 * kernel frees the name when that process ends, however it ends: nothing is left behind, and no holder is ever dead.
 */
function nameOf(what) {
  const { dev, ino } = statSync(root);
  return `\0lxmert-${fingerprint([], [root, `${dev} ${ino} ${process.getuid?.() ?? 0}`, what]).slice(0, 32)}`;
}

/** A server that holds the name and tells who asks its process id; null when another process holds it. */
function take(name) {
  const server = createServer((client) => client.on('error', () => {}).end(`${process.pid}`));
  return new Promise((resolve, reject) => {
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
    server.listen(name, () => resolve(server.unref()));
  });
}

/** The process id of the holder; '' when it has just ended, or is too busy to answer soon. */
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
 * Runs `work` while no other setup of this checkout runs (or what else is named): two at once would compile into each
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

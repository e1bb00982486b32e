import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A separate checkout, which has a separate lock. */
let folder: string;
let children: ChildProcess[];

beforeEach(() => {
  children = [];
  folder = mkdtempSync(join(tmpdir(), 'lxmert-lock-'));
  mkdirSync(join(folder, 'scripts'));
  cpSync(join(root, 'scripts/lib'), join(folder, 'scripts/lib'), { recursive: true });
  writeFileSync(
    join(folder, 'scripts/holder.mjs'),
    `import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { alone } from './lib/lock.mjs';
const [name, until] = process.argv.slice(2);
const tell = (what) => appendFileSync('log', name + ' ' + what + '\\n');
await alone(async () => {
  tell('begins');
  while (until && !existsSync(until)) await sleep(5);
  tell('ends');
});
`,
  );
});
afterEach(async () => {
  for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  rmSync(folder, { recursive: true });
});

/** Starts a process that takes the lock, and keeps it until a file exists. */
function hold(name: string, until = ''): { child: ChildProcess; errors: () => string } {
  const child = spawn(process.execPath, ['scripts/holder.mjs', name, until], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.push(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  return { child, errors: () => errors };
}

const log = (): string[] =>
  existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n') : [];

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

test('only one process has the lock at a time, and a waiting process says so', async () => {
  const first = hold('first', 'go');
  await until(() => log().includes('first begins'));
  const others = [hold('second'), hold('third')];
  await until(() => others.every(({ errors }) => errors() !== ''));
  for (const { errors } of others)
    // On a busy machine, the holder may write its name too late for the message.
    expect([` (process ${first.child.pid})`, '']).toContain(
      /^setup: waiting for another setup of this folder(.*) \.\.\.\n$/.exec(errors())?.[1],
    );
  expect(log()).toEqual(['first begins']);
  appendFileSync(join(folder, 'go'), '');
  await Promise.all(others.map(({ child }) => once(child, 'close')));
  // Each process ends its work before another begins.
  const lines = log();
  expect(lines).toHaveLength(6);
  for (let i = 0; i < 6; i += 2) expect(lines[i + 1]).toBe(lines[i].replace('begins', 'ends'));
});

test('if the holder is killed, the two waiting processes get the lock one after the other', async () => {
  const dead = hold('dead', 'never');
  await until(() => log().includes('dead begins'));
  const waiting = [hold('a'), hold('b')];
  await until(() => waiting.every(({ errors }) => errors() !== ''));
  dead.child.kill('SIGKILL');
  await Promise.all(waiting.map(({ child }) => once(child, 'close')));
  expect(waiting.map(({ child }) => child.exitCode)).toEqual([0, 0]);
  const [begin, ...rest] = log();
  expect(begin).toBe('dead begins');
  expect([
    ['a begins', 'a ends', 'b begins', 'b ends'],
    ['b begins', 'b ends', 'a begins', 'a ends'],
  ]).toContainEqual(rest);
});

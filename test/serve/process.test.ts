import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { smallModel } from '../finetune/questionScenes.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lxmert-served-'));
const [data, run] = ['scenes', 'run'].map((name) => join(folder, name));
const started: ChildProcess[] = [];

beforeAll(async () => {
  await writeScenes({ out: data, images: 12, featureDim: 16, pictures: 0 });
  const steps = { train: 'train', valid: 'none', 'max-steps': '2', 'batch-size': '8', workers: '0' };
  const flags = { ...smallModel, ...steps, data, out: run, device: 'cpu', threads: '1' };
  await pretrain({ sources: { preset: 'tiny', flags } }, pretrainParts);
});
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Starts `lxmert serve`. */
function start(port: number) {
  const args = [join(root, 'dist/cli/main.js'), 'serve', run, '--data', data, '--port', String(port)];
  const child = spawn(process.execPath, [...args, '--device', 'cpu', '--threads', '1'], { stdio: 'pipe' });
  started.push(child);
  const texts = { out: '', err: '' };
  child.stdout.on('data', (some) => (texts.out += String(some)));
  child.stderr.on('data', (some) => (texts.err += String(some)));
  return { child, texts, ended: once(child, 'close') };
}

test('the command serves the examples of docs/serve.md until a signal stops it; its port is then in use', async () => {
  const server = start(0);
  while (!server.texts.out.includes('\n')) await once(server.child.stdout, 'data');
  const url = /http:\S+/.exec(server.texts.out)![0];
  const page = readFileSync(join(root, 'docs/serve.md'), 'utf8');
  const examples = [...page.matchAll(/^curl http:\/\/127\.0\.0\.1:8000(\/\w+) .*\n +-d '(.*)'$/gm)];
  expect(examples.map(([, path]) => path)).toEqual(['/answer', '/match', '/explain']);
  for (const [, path, body] of examples) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(new URL(path, url), { method: 'POST', headers, body });
    expect([path, response.status, await response.json()]).toEqual([path, 200, expect.any(Object)]);
  }
  const other = start(Number(new URL(url).port));
  expect(await other.ended).toEqual([2, null]);
  expect(other.texts.err).toContain('another program uses this port');
  server.child.kill('SIGTERM');
  expect(await server.ended).toEqual([143, null]);
  expect(server.texts.err).toContain('SIGTERM: answers the requests that have arrived, then ends');
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { exportHub, exportOnnx } from '../../src/export/index.js';
import { finetune, openModel } from '../../src/finetune/index.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { questionScenes, smallModel } from '../finetune/questionScenes.js';
import { readJson } from '../weights/support.js';

jest.setTimeout(240_000);

/** The folder that docs/export.md makes for the browser. `scripts/check-onnx.py` runs the program for Python. */
const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/export.md'), 'utf8');
const engine = { device: 'cpu', threads: 1 } as const;

let folder: string;
let run: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-programs-'));
  run = join(folder, 'vqa');
  const data = await questionScenes(join(folder, 'data'), 12);
  const flags = { data, out: run, task: 'vqa', train: 'train', valid: 'none', 'max-steps': '3', 'batch-size': '8' };
  await finetune({ sources: { flags: { ...smallModel, ...flags, lr: '1e-1', ...engine, threads: '1' } } });
  await exportHub(run, { out: join(folder, 'model') });
  await exportOnnx(run, { out: join(folder, 'model/model.onnx') });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('tokenizer.json gives the ids of our tokenizer', async () => {
  const at = (name: string): object => readJson(folder, 'model', name) as object;
  const tokenizer = new Tokenizer(at('tokenizer.json'), at('tokenizer_config.json'));
  const ours = await WordPiece.load();
  for (const sentence of ['Is the café left of it?', "what's 12.5 x unbelievability", '', 'two  words\tof 漢字 [MASK]'])
    expect(tokenizer.encode(sentence).ids).toEqual([...ours.encode(sentence, 100)]);
});

test("the page's program for the browser gives our answers", async () => {
  const [, program] = /```js\n(.*?)```/s.exec(page)!;
  const server = createServer((request, response) => {
    response.end(readFileSync(join(folder, 'model', basename(request.url!))));
  }).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const picture =
      '{ features: new Float32Array(3 * 128).map((_, i) => Math.sin(i)), boxes: new Float32Array(12).fill(0.5) }';
    const questions = ['is it red?', 'what shape is the large thing?', 'how many are there?'];
    const inNode = program
      .replace('onnxruntime-web', 'onnxruntime-node')
      .replace('location.href', JSON.stringify(address));
    const asked = `for (const question of ${JSON.stringify(questions)}) console.log(await ask(question, ${picture}));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', `${inNode}\n${asked}`], {
      ...{ cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
    });
    const [printed] = await Promise.all([text(child.stdout), once(child, 'exit')]);

    await using model = await openModel(run, engine);
    const seen = {
      features: new Float32Array(3 * 128).map((_, i) => Math.sin(i)),
      boxes: new Float32Array(12).fill(0.5),
    };
    const ours = await model.answerAll(questions.map((question) => ({ question, picture: seen })));
    expect(printed.trim().split('\n')).toEqual(ours.map(([{ answer }]) => answer));
  } finally {
    server.close();
  }
});

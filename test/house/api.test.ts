import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { transformSync } from '@swc/core';
import { SafetensorsFile } from '../../src/formats/safetensors.js';

jest.setTimeout(240_000);

/** Runs the examples of docs/api.md, like a user who has installed the package. */
const root = fileURLToPath(new URL('../../', import.meta.url));
const examples = [...readFileSync(join(root, 'docs/api.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code]) => code,
);

let folder: string;
const node = (...args: string[]) => spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
const runExample = (index: number) => {
  const { code } = transformSync(examples[index], {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'es6' },
    configFile: false,
    swcrc: false,
  });
  return node('--input-type=module', '-e', code);
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'api-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/lxmert'));
  const lxmert = (line: string) => node(join(root, 'dist/cli/main.js'), ...line.split(' '));
  expect(lxmert('scenes --out data/scenes --images 20 --pictures 0').stderr).toBe('');
  const flags = '--preset tiny --max-steps 4 --batch-size 8 --threads 1';
  expect(lxmert(`pretrain --data data/scenes --out runs/first ${flags}`)).toMatchObject({ status: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the page has five examples, and each compiles in strict mode', () => {
  expect(examples).toHaveLength(5);
  const files = examples.map((code, i) => {
    const file = join(folder, `example-${i}.mts`);
    writeFileSync(file, code);
    return file;
  });
  symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  const options = ['--strict', '--noEmit', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'];
  const { stdout, status } = node(
    join(root, 'node_modules/typescript/bin/tsc'),
    ...options,
    '--types',
    'node',
    ...files,
  );
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

test('the example that asks a model prints an answer of the table', () => {
  const { status, stdout, stderr } = runExample(0);
  expect(stderr).toBe('');
  const table = JSON.parse(readFileSync(join(folder, 'data/scenes/all_ans.json'), 'utf8')) as { ans: string }[];
  expect(table.map(({ ans }) => ans)).toContain(stdout.trim().split(' ')[0]);
  expect(status).toBe(0);
});

test('the example that trains on samples: the loss falls, and a run begins with the saved weights', async () => {
  const { status, stdout, stderr } = runExample(1);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const losses = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[1]));
  expect(losses).toHaveLength(20);
  expect(losses[19]).toBeLessThan(losses[0] / 2);
  await using file = await SafetensorsFile.open(join(folder, 'runs/mine/model.safetensors'));
  expect(file.entries.has('answer_head.logit_fc.3.bias')).toBe(true);
  const flags = ['--preset', 'tiny', '--max-steps', '1', '--batch-size', '8', '--valid', 'none', '--init', 'runs/mine'];
  const begun = node(
    join(root, 'dist/cli/main.js'),
    'pretrain',
    '--data',
    'data/scenes',
    '--out',
    'runs/next',
    ...flags,
  );
  expect(begun.stderr).toMatch(/initial weights from runs\/mine: \d+ of \d+ tensors; rows of (\d+) of \1 answers\n/);
});

test("the example with the user's own data finishes its run, and does nothing when it is repeated", () => {
  const first = runExample(2);
  expect(first.stderr).toBe('');
  expect(first.stdout.trim().split('\n')).toHaveLength(13);
  expect(first.stdout).toMatch(/runs\/own\/checkpoints\/step-00000012\n$/);
  expect(runExample(2).stdout).toBe('runs/own/checkpoints/step-00000012\n');
});

test('the example that loads a pre-trained run gives an answer, hidden states and attention', () => {
  const { stdout, stderr, status } = runExample(3);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const lines = stdout.trim().split('\n');
  expect(Number(lines[0].split(' ').at(-1))).toBeGreaterThan(0);
  expect(Number(lines[1])).toBeLessThan(1);
  expect(lines.slice(2)).toEqual(['8 96 768 192', '4 8 2', '8 2', '100']);
});

test('the example that exports a run writes a graph and a folder', () => {
  const { stdout, stderr, status } = runExample(4);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const files =
    'README.md answers.json config.json model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json vocab.txt';
  expect(stdout.trim().split('\n')).toEqual(['encoder 17 6 language_output vision_output pooled_output', files]);
});

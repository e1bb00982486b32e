import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../src/cli/run.js';
import { fixtures, readJson, weightFixtures } from '../weights/support.js';

const table = {
  convert: () => import('../../src/cli/convert.js'),
  weights: () => import('../../src/cli/weights.js'),
};

let folder: string;
let out: string;
let err: string;
const spies: { mockRestore(): void }[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-weights-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  out = err = '';
  spies.push(
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true)),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true)),
  );
});
afterEach(() => spies.splice(0).forEach((spy) => spy.mockRestore()));

const honest = join(fixtures, 'hostile/honest.zip.pth');
const vqa = join(weightFixtures, 'finetuned-vqa/BEST.pth');

test('weights list --json prints the documented object and nothing else', async () => {
  expect(await runCli(['weights', 'list', honest, '--json'], table)).toBe(0);
  const { tensors, ...rest } = JSON.parse(out) as { tensors: { name: string }[] };
  expect(rest).toEqual({});
  expect(tensors.map((tensor) => Object.keys(tensor))).toEqual([
    ['name', 'shape', 'dtype', 'sha256'],
    ['name', 'shape', 'dtype', 'sha256'],
  ]);
  expect(tensors[0]).toMatchObject({ dtype: 'F32', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(tensors[0].name).toMatch(/^lxmert\./);
  expect(err).toBe('');
});

test('weights list prints one line for each tensor', async () => {
  expect(await runCli(['weights', 'list', honest], table)).toBe(0);
  expect(out.trim().split('\n')).toHaveLength(2);
  expect(out).toMatch(/^[0-9a-f]{64} {2}F32 {3}\[\d+, \d+\] +lxmert\.\S+\n/);
});

test('a file that is refused ends the command with 1 and a message', async () => {
  expect(await runCli(['weights', 'list', join(fixtures, 'hostile/os-system.zip.pth'), '--json'], table)).toBe(1);
  expect(out).toBe('');
  expect(err).toMatch(/^lxmert: .*os-system\.zip\.pth: data\.pkl: it needs 'os\.system'/);
});

test('convert writes transformers by default, and the original for a name that ends in .pth', async () => {
  expect(await runCli(['convert', vqa, join(folder, 'hf'), '--json'], table)).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    form: 'transformers',
    kind: 'questionAnswering',
    loaded: 137,
    missing: [],
    unexpected: [],
  });
  expect((await readdir(join(folder, 'hf'))).sort()).toEqual(['config.json', 'model.safetensors']);
  out = '';
  expect(await runCli(['convert', join(folder, 'hf'), join(folder, 'o/x.pth')], table)).toBe(0);
  expect(out).toMatch(/x\.pth: a model that answers questions, 137 tensors\n {2}textEmbeddings .* 100\.0 % found/);
  expect(await runCli(['convert', vqa, join(folder, 'p/y'), '--to', 'original', '--dtype', 'float16'], table)).toBe(0);
  expect((await readdir(join(folder, 'p'))).sort()).toEqual(['config.json', 'y']);
  expect(readJson(folder, 'p/config.json')).toMatchObject({ num_attention_heads: 2 });
});

test('convert refuses an output that exists, as wrong usage', async () => {
  expect(await runCli(['convert', vqa, folder], table)).toBe(2);
  expect(err).toMatch(/exists already; give the name of a new folder/);
});

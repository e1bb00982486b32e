/** Compares explanations of answers with those of the authors' code. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runParity } from '../../src/parity/parity.js';
import { backends } from '../engine/support/backends.js';

const fixtures = join(import.meta.dirname, '../fixtures');
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function copyOfFixture(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lxmert-parity-'));
  folders.push(folder);
  await mkdir(join(folder, 'finetune-vqa'));
  for (const file of ['config.json', 'model.safetensors', 'batch.safetensors', 'expected.safetensors'])
    await cp(join(fixtures, 'finetune-vqa', file), join(folder, 'finetune-vqa', file));
  await cp(join(fixtures, 'explain'), join(folder, 'explain'), { recursive: true });
  return join(folder, 'explain');
}

describe.each(backends.filter(({ precision }) => precision === 'float32'))('$name', ({ options }) => {
  test('attention, its gradients, every relevancy matrix and the scores', async () => {
    const report = await runParity(join(fixtures, 'explain'), { engine: options });
    expect(report.kinds.map(({ kind, compared }) => [kind, compared])).toEqual([
      ['outputs', 5],
      ['attention maps', 20],
      ['gradients', 18],
      ['relevancy', 90],
      ['scores', 26],
    ]);
    for (const { worst } of report.kinds) expect(worst).toBeLessThan(1e-4);
    // A score may be small compared with the largest score of its kind, so each score is also compared separately.
    for (const { kind, name, difference, norm } of report.comparisons)
      if (kind === 'scores') expect({ name, error: difference / norm < 1e-4 }).toEqual({ name, error: true });
    expect(report.passed).toBe(true);
  });
});

test('another weight gives another explanation', async () => {
  const folder = await copyOfFixture();
  const path = join(folder, '../finetune-vqa/model.safetensors');
  const bytes = await readFile(path);
  bytes.writeFloatLE(0.5, bytes.length - 4 * 100);
  await writeFile(path, bytes);
  expect((await runParity(folder, { engine: { device: 'cpu', threads: 1 } })).passed).toBe(false);
});

test.each([
  ['{', /it is not JSON/],
  ['{}', /examples is not a list of examples/],
  ['{"examples": [{"row": 0, "answer": 1}]}', /examples\[0\]\.example is missing/],
  [
    '{"examples": [{"example": 0, "row": 9, "answer": 1}]}',
    /examples\[0\]\.row is 9; expected a row of the batch, 0 to/,
  ],
  ['{"examples": [{"example": 0, "row": 0}]}', /examples\[0\]\.answer is undefined; expected a row of the answer head/],
])('a damaged list is refused: %s', async (text, message) => {
  const folder = await copyOfFixture();
  await writeFile(join(folder, 'explain.json'), text);
  await expect(runParity(folder)).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringMatching(message),
  });
});

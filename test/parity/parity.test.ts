import { afterEach, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isLxmertError, type LxmertError } from '../../src/errors.js';
import { SafetensorsFile, writeSafetensors, type TensorValues } from '../../src/formats/safetensors.js';
import { worstOf } from '../../src/parity/compare.js';
import { runParity } from '../../src/parity/parity.js';

const tiny = join(import.meta.dirname, '../fixtures/tiny');
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function copyOfTiny(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lxmert-parity-'));
  folders.push(folder);
  await cp(tiny, folder, { recursive: true });
  return folder;
}

/** Rewrites a safetensors file: removes the tensors whose names begin with `drop`, and changes the named tensor. */
async function rewrite(
  path: string,
  { drop, name, change }: { drop?: string; name?: string; change?: (values: TensorValues) => void },
): Promise<void> {
  const file = await SafetensorsFile.open(path);
  const kept = [...file.entries.values()].filter((entry) => !drop || !entry.name.startsWith(drop));
  const values = new Map<string, TensorValues>();
  for (const entry of kept) values.set(entry.name, await file.read(entry.name));
  await file.close();
  if (name) change?.(values.get(name) as TensorValues);
  await rm(path);
  await writeSafetensors(path, kept, (tensor) => values.get(tensor) as TensorValues);
}

const edit = (path: string, name: string, change: (values: TensorValues) => void): Promise<void> =>
  rewrite(path, { name, change });

describe('parity with PyTorch', () => {
  test('outputs, attention maps, losses, gradients and the trajectory agree', async () => {
    const report = await runParity(tiny);
    expect(report.kinds.map(({ kind, compared }) => [kind, compared])).toEqual([
      ['outputs', 9],
      ['attention maps', 6],
      ['losses', 7],
      ['gradients', 112],
      ['trajectory', 9],
    ]);
    expect(report.skipped).toEqual([]);
    for (const { worst } of report.kinds) expect(worst).toBeLessThan(1e-4);
    expect(report.passed).toBe(true);
  });

  test.each([
    ['a word embedding', 'lxmert.embeddings.word_embeddings.weight', 30 * 24 + 3],
    ['a query weight', 'lxmert.encoder.x_layers.0.visual_attention.att.query.weight', 5],
    ['a layer-norm bias', 'lxmert.encoder.visn_fc.box_layer_norm.bias', 0],
    ['an answer weight', 'answer_head.logit_fc.3.weight', 11],
  ])('a change of %s by 0.01 is found', async (_, name, index) => {
    const folder = await copyOfTiny();
    await edit(join(folder, 'model.safetensors'), name, (values) => {
      (values as Float32Array)[index] += 0.01;
    });
    expect((await runParity(folder)).passed).toBe(false);
  });

  test('a wrong gradient in the reference is named', async () => {
    const folder = await copyOfTiny();
    const name = 'lxmert.encoder.layer.0.intermediate.dense.weight';
    await edit(join(folder, 'expected.safetensors'), `grad.${name}`, (values) => {
      (values as Float32Array)[0] += 0.01;
    });
    const report = await runParity(folder);
    const gradients = report.kinds.find(({ kind }) => kind === 'gradients');
    expect(gradients?.name).toBe(name);
    expect(report.passed).toBe(false);
  });

  test('gradients and trajectory may be absent, and the report lists them as skipped', async () => {
    const folder = await copyOfTiny();
    await rm(join(folder, 'trajectory.json'));
    await rewrite(join(folder, 'expected.safetensors'), { drop: 'grad.' });
    const report = await runParity(folder);
    expect(report.skipped).toEqual(['gradients', 'trajectory']);
    expect(report.passed).toBe(true);
  });

  test('NaN is never within a tolerance', () => {
    const [outputs] = worstOf([{ kind: 'outputs', name: 'x', difference: NaN, norm: 1 }]);
    expect(outputs.worst).toBe(Infinity);
  });
});

describe('damaged fixtures', () => {
  const rejection = async (folder: string): Promise<LxmertError> => {
    try {
      await runParity(folder);
    } catch (error) {
      if (isLxmertError(error)) return error;
      throw error;
    }
    throw new Error('it was accepted');
  };

  test('a missing folder is refused', async () => {
    expect(await rejection(join(tiny, 'nowhere'))).toMatchObject({
      code: 'FILE_MISSING',
      message: expect.stringContaining('config.json'),
    });
  });

  test('for a config of another size, the error names the tensor', async () => {
    const folder = await copyOfTiny();
    const path = join(folder, 'config.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"intermediate_size": 40', '"intermediate_size": 44'));
    const error = await rejection(folder);
    expect(error.code).toBe('BAD_DATA');
    expect(error.message).toMatch(/model\.safetensors.*intermediate\.dense.*\[40, 24\].*\[44, 24\]/);
  });

  test('a truncated file is refused', async () => {
    const folder = await copyOfTiny();
    await truncate(join(folder, 'batch.safetensors'), 900);
    const error = await rejection(folder);
    expect(error.code).toBe('BAD_DATA');
    expect(error.message).toContain('batch.safetensors');
  });

  test('for a token id beyond the vocabulary, the error names the sample', async () => {
    const folder = await copyOfTiny();
    await edit(join(folder, 'batch.safetensors'), 'input_ids', (values) => {
      (values as BigInt64Array)[0] = 31n;
    });
    const error = await rejection(folder);
    expect(error.message).toMatch(/sample 0: token id 31/);
  });
});

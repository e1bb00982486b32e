import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { fromTransformersJson } from '../../src/config/transformers.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { listWeights, loadWeights, openWeights } from '../../src/weights/index.js';
import { digestOfSafetensors, digestOfWeights, sha256, weightCases, weightFixtures } from './support.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forms-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Weight files of BERT have twelve layers; the model has nine language layers. */
const isUnused = (name: string) => /^lxmert\.encoder\.layer\.(9|1\d)\./.test(name);

describe('the weights of every form are exactly those that the reference code reads', () => {
  test.each(weightCases)('$file', async ({ file, expected }) => {
    const found = Object.entries(await digestOfWeights(join(weightFixtures, file))).filter(
      ([name]) => !file.startsWith('bert/') || !isUnused(name),
    );
    expect(Object.fromEntries(found)).toEqual(await digestOfSafetensors(join(weightFixtures, expected)));
  });

  test('there are 31 test files', () => expect(weightCases).toHaveLength(31));
});

describe('the weights of a BERT become the language encoder', () => {
  const bert = weightCases.filter(({ file }) => file.startsWith('bert/'));

  test.each(bert)(
    '$file: the rest stays as it was, and unused layers are named',
    async ({ file, expected, unused }) => {
      const config = fromTransformersJson(
        await readFile(join(weightFixtures, 'bert/config.json'), 'utf8'),
        'config.json',
      );
      const parameters = pretrainParameters(config);
      const written = new Map<string, string>();
      const report = await loadWeights(join(weightFixtures, file), {
        parameters,
        numAttentionHeads: config.numAttentionHeads,
        write: (name, values) => {
          const { shape } = parameters.find((parameter) => parameter.name === name)!;
          written.set(name, `${shape.join()} ${sha256(values)}`);
          return Promise.resolve();
        },
      });
      expect(Object.fromEntries(written)).toEqual(await digestOfSafetensors(join(weightFixtures, expected)));
      if (unused)
        expect(report.unexpected.map((name) => name.replace(/^lxmert\./, 'bert.')).sort()).toEqual(
          unused.filter((name) => !name.endsWith('position_ids')).sort(),
        );
      expect(report.groups).toContainEqual(expect.objectContaining({ group: 'languageLayers', share: 1 }));
      expect(report.groups).toContainEqual(expect.objectContaining({ group: 'crossLayers', share: 0 }));
    },
  );

  test('a BERT with fewer layers than the model has is refused', async () => {
    const parameters = pretrainParameters(
      modelConfigSchema.parse({
        vocabSize: 82,
        hiddenSize: 12,
        intermediateSize: 20,
        maxPositionEmbeddings: 32,
        lLayers: 13,
      }),
    );
    await expect(
      loadWeights(join(weightFixtures, 'bert/bin'), { parameters, write: () => Promise.resolve() }),
    ).rejects.toMatchObject({
      code: 'BAD_CHECKPOINT',
      message: expect.stringMatching(/16 encoder weights are missing.*encoder\.layer\.12\..*--allow-missing/),
    });
  });
});

test('the list has all tensors of a file, with their stored types', async () => {
  const { tensors } = await listWeights(join(weightFixtures, 'pretraining/float16_LXRT.pth'));
  expect(tensors).toHaveLength(155);
  expect(new Set(tensors.map(({ dtype }) => dtype))).toEqual(new Set(['F16']));
  expect(tensors.map(({ name }) => name)).toContain('cls.predictions.decoder.weight');
  const bert = await listWeights(join(weightFixtures, 'bert/bin'));
  expect(bert.tensors.find(({ name }) => name.endsWith('position_ids'))).toMatchObject({
    dtype: 'I64',
    shape: [1, 32],
  });
});

test('reading the archive of a folder leaves no temporary files', async () => {
  const before = (await readdir(tmpdir())).filter((name) => /^lxmert-/.test(name));
  await listWeights(join(weightFixtures, 'bert/bert-base-uncased.tar.gz'));
  expect((await readdir(tmpdir())).filter((name) => /^lxmert-/.test(name))).toEqual(before);
});

test('for a run folder, the last checkpoint is used, and a note says so', async () => {
  const run = join(folder, 'run');
  await cp(join(weightFixtures, 'transformers-qa/safetensors'), join(run, 'checkpoints/step-1'), { recursive: true });
  await symlink('step-1', join(run, 'checkpoints/last'));
  const source = await openWeights(run);
  await source.close();
  expect(source.notes).toEqual([`${run} is a run; its last checkpoint was used`]);
  expect(source.tensors.size).toBe(137);
});

describe('folders', () => {
  test('a folder without weights is refused', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    await expect(openWeights(empty)).rejects.toMatchObject({
      code: 'FILE_MISSING',
      message: expect.stringContaining('expected model.safetensors'),
    });
    await writeFile(join(empty, 'bert_model.ckpt.index'), '');
    await expect(openWeights(empty)).rejects.toThrow('TensorFlow checkpoint, which cannot be read');
    await expect(openWeights(join(folder, 'gone'))).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  const sharded = (map: unknown) => async () => {
    const to = await mkdtemp(join(folder, 'shards-'));
    await cp(join(weightFixtures, 'transformers-pretraining/sharded'), to, { recursive: true });
    const path = join(to, 'model.safetensors.index.json');
    const index = JSON.parse(await readFile(path, 'utf8')) as { weight_map: Record<string, string> };
    await writeFile(path, JSON.stringify(typeof map === 'function' ? (map(index) as unknown) : map));
    return to;
  };

  interface Index {
    weight_map: Record<string, unknown>;
  }
  test.each<[string, unknown, RegExp]>([
    ['no map', {}, /expected an object with a 'weight_map'/],
    [
      'a file elsewhere',
      { weight_map: { a: '../../../etc/passwd' } },
      /names the file '\.\.\/\.\.\/\.\.\/etc\/passwd'/,
    ],
    ['an absolute file', { weight_map: { a: '/etc/passwd' } }, /names the file '\/etc\/passwd'/],
    ['a file that is not there', { weight_map: { a: 'gone.safetensors' } }, /gone\.safetensors: there is no such file/],
    [
      'a tensor that its file lacks',
      ({ weight_map }: Index) => ({ weight_map: { ...weight_map, more: Object.values(weight_map)[0] } }),
      /says that 'more' is in model-0000\d-of-00002\.safetensors, but it is not/,
    ],
    [
      'a tensor in another file',
      ({ weight_map }: Index) => ({
        weight_map: { ...weight_map, 'lxmert.pooler.dense.bias': 'model-00001-of-00002.safetensors' },
      }),
      /'lxmert\.pooler\.dense\.bias' is in model-00001-of-00002\.safetensors/,
    ],
  ])('an index with %s is refused', async (_, map, message) => {
    await expect(openWeights(await sharded(map)())).rejects.toThrow(message);
  });

  test('tensors that are missing in the index are reported', async () => {
    const path = await sharded(({ weight_map: { 'cls.predictions.bias': _, ...rest } }: Index) => ({
      weight_map: rest,
    }))();
    const source = await openWeights(path);
    await source.close();
    expect(source.notes).toEqual(["1 tensors are in the files but not in the index, such as 'cls.predictions.bias'"]);
  });
});

test.each(['/dev/zero', '/dev/null'])('%s is refused before it is read', async (path) => {
  await expect(openWeights(path)).rejects.toMatchObject({
    code: 'FILE_ACCESS',
    message: expect.stringContaining('no regular file'),
  });
});

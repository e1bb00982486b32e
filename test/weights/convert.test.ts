import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { floatsToBFloat16, toFloat32 } from '../../src/formats/dtypes.js';
import { SafetensorsFile, writeSafetensors } from '../../src/formats/safetensors.js';
import { TorchFile } from '../../src/formats/torchFile.js';
import { writeTorchFile } from '../../src/formats/torchWriter.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { convertWeights } from '../../src/weights/index.js';
import type { ConvertOptions } from '../../src/weights/index.js';
import { digestOfSafetensors, digestOfWeights, readJson, weightCases, weightFixtures } from './support.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fixture = (name: string) => join(weightFixtures, name);
const fresh = () => mkdtemp(join(folder, 'to-'));
const convert = (from: string, to: string, options: Partial<ConvertOptions> = {}) =>
  convertWeights(from, to, { parametersOf: pretrainParameters, ...options });

describe('conversion to another form and back gives the same bits', () => {
  // Only the first of several files with the same values. forms.test.ts reads the other forms.
  const models = weightCases.filter(
    ({ file, expected }, i) =>
      !file.startsWith('bert/') && weightCases.findIndex((other) => other.expected === expected) === i,
  );

  test.each(models)('$file → transformers → original → transformers', async ({ file, expected }) => {
    const to = await fresh();
    const report = await convert(fixture(file), join(to, 'one'));
    expect(report).toMatchObject({ missing: [], unexpected: [], misshapen: [] });
    expect(report.groups.every(({ share }) => share === 1)).toBe(true);
    expect(await digestOfWeights(join(to, 'one'))).toEqual(await digestOfSafetensors(fixture(expected)));
    await convert(join(to, 'one'), join(to, 'original/x_LXRT.pth'), { to: 'original' });
    await convert(join(to, 'original/x_LXRT.pth'), join(to, 'two'));
    for (const name of ['model.safetensors', 'config.json'])
      expect(await readFile(join(to, 'two', name))).toEqual(await readFile(join(to, 'one', name)));
    expect((await readdir(join(to, 'original'))).sort()).toEqual(['config.json', 'x_LXRT.pth']);
  });

  test.each([
    ['finetuned-vqa/BEST.pth', ''],
    ['finetuned-nlvr2/BEST.pth', ''],
    ['pretraining/Epoch20_LXRT.pth', 'module.'],
  ])('a written .pth has the names of the original: %s', async (file, prefix) => {
    const to = await fresh();
    await convert(fixture(file), join(to, 'x.pth'), { to: 'original' });
    const [ours, theirs] = await Promise.all([TorchFile.open(join(to, 'x.pth')), TorchFile.open(fixture(file))]);
    const names = [...theirs.dicts[0].tensors.keys()].map((name) => name.slice(prefix.length));
    expect([...ours.dicts[0].tensors.keys()].sort()).toEqual(names.sort());
    await Promise.all([ours.close(), theirs.close()]);
  });

  test('the decoder of a .pth is the word table, stored once', async () => {
    const to = await fresh();
    await convert(fixture('pretraining/zip_LXRT.pth'), join(to, 'x.pth'), { to: 'original' });
    const file = await TorchFile.open(join(to, 'x.pth'));
    const { tensors } = file.dicts[0];
    expect(tensors.get('cls.predictions.decoder.weight')!.storage).toBe(
      tensors.get('bert.embeddings.word_embeddings.weight')!.storage,
    );
    await file.close();
  });
});

describe('the class that transformers loads, and its flags', () => {
  test.each([
    ['pretraining/zip_LXRT.pth', 'pretraining', 'LxmertForPreTraining'],
    ['finetuned-vqa/BEST.pth', 'questionAnswering', 'LxmertForQuestionAnswering'],
    ['finetuned-nlvr2/BEST.pth', 'nlvr2', 'LxmertModel'],
  ])('%s', async (file, kind, architecture) => {
    const to = join(await fresh(), 'folder');
    expect(await convert(fixture(file), to)).toMatchObject({ kind, form: 'transformers', dtype: 'F32' });
    expect(readJson(to, 'config.json')).toMatchObject({
      architectures: [architecture],
      num_attention_heads: 2,
      hidden_size: 12,
      l_layers: 1,
      x_layers: 2,
    });
  });

  test('flags of missing heads are off', async () => {
    const to = await fresh();
    await part(fixture('transformers-pretraining/safetensors'), join(to, 'part'), (name) =>
      /^answer_head|decoder_dict\.attr/.test(name),
    );
    const report = await convert(join(to, 'part'), join(to, 'out'));
    expect(report.groups.map(({ group }) => group)).not.toContain('answerHead');
    expect(readJson(to, 'out/config.json')).toMatchObject({
      task_qa: false,
      task_obj_predict: true,
      visual_attr_loss: false,
      visual_obj_loss: true,
    });
  });
});

/** Copies a folder without some of its tensors. */
async function part(from: string, to: string, without: (name: string) => boolean): Promise<void> {
  await mkdir(to);
  await cp(join(from, 'config.json'), join(to, 'config.json'));
  await using file = await SafetensorsFile.open(join(from, 'model.safetensors'));
  const kept = [...file.entries.values()].filter(({ name }) => !without(name));
  await writeSafetensors(join(to, 'model.safetensors'), kept, (name) => file.read(name));
}

describe('nothing is lost without a message', () => {
  test('missing encoder weights are an error, unless they are named', async () => {
    const to = await fresh();
    await part(fixture('transformers-qa/safetensors'), join(to, 'part'), (name) => name.includes('r_layers.0.output'));
    await expect(convert(join(to, 'part'), join(to, 'out'))).rejects.toMatchObject({
      code: 'BAD_CHECKPOINT',
      message: expect.stringMatching(/4 encoder weights are missing.*name them with --allow-missing/),
    });
    expect(await readdir(to)).toEqual(['part']);
    const report = await convert(join(to, 'part'), join(to, 'out'), { allowMissing: ['lxmert.encoder.r_layers.*'] });
    expect(report.missing).toHaveLength(4);
    const layers = report.groups.find(({ group }) => group === 'objectLayers')!;
    expect(layers.share).toBeGreaterThan(0.5);
    expect(layers.share).toBeLessThan(1);
    await expect(convert(join(to, 'part'), join(to, 'more'), { allowMissing: ['r_layers'] })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining("'r_layers' names no parameter"),
    });
  });

  test('an incomplete head is an error, too', async () => {
    const to = await fresh();
    await part(
      fixture('transformers-qa/safetensors'),
      join(to, 'part'),
      (name) => name === 'answer_head.logit_fc.2.bias',
    );
    await expect(convert(join(to, 'part'), join(to, 'out'))).rejects.toThrow(
      /1 weights of heads are missing or of another shape: answer_head\.logit_fc\.2\.bias/,
    );
  });

  test('weights of a BERT are not accepted as an LXMERT', async () => {
    await expect(convert(fixture('bert/bin'), join(await fresh(), 'out'))).rejects.toMatchObject({
      code: 'BAD_CHECKPOINT',
      message: expect.stringContaining('encoder weights are missing'),
    });
  });

  test('a decoder that is not tied to the word table is reported', async () => {
    const to = await fresh();
    await cp(fixture('transformers-pretraining/safetensors/config.json'), join(to, 'config.json'));
    await using file = await SafetensorsFile.open(fixture('transformers-pretraining/safetensors/model.safetensors'));
    const words = file.entry('lxmert.embeddings.word_embeddings.weight');
    const decoder = 'cls.predictions.decoder.weight';
    await writeSafetensors(
      join(to, 'model.safetensors'),
      [...file.entries.values(), { ...words, name: decoder }],
      (name) => (name === decoder ? new Float32Array(words.count) : file.read(name)),
    );
    const { notes } = await convert(to, join(to, 'out'));
    expect(notes).toEqual([
      'cls.predictions.decoder.weight differs from lxmert.embeddings.word_embeddings.weight, although the model stores both only once; lxmert.embeddings.word_embeddings.weight was used',
    ]);
  });

  test('an output that exists is not replaced', async () => {
    const to = await fresh();
    await writeFile(join(to, 'precious'), '1');
    await expect(convert(fixture('transformers-qa/safetensors'), to)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await writeFile(join(to, 'x.pth'), '1');
    await expect(
      convert(fixture('transformers-qa/safetensors'), join(to, 'x.pth'), { to: 'original' }),
    ).rejects.toThrow(/x\.pth exists already/);
    await writeFile(join(to, 'config.json'), '{}');
    await expect(
      convert(fixture('transformers-qa/safetensors'), join(to, 'y.pth'), { to: 'original' }),
    ).rejects.toThrow(/config\.json exists already and describes other weights/);
    expect((await readdir(to)).sort()).toEqual(['config.json', 'precious', 'x.pth']);
  });
});

describe('sizes', () => {
  /** An encoder of the given width without a configuration; its values do not matter. */
  async function encoder(width: number, heads: number): Promise<string> {
    const to = await fresh();
    const specs = pretrainParameters(
      modelConfigSchema.parse({
        vocabSize: 7,
        hiddenSize: width,
        numAttentionHeads: heads,
        intermediateSize: 5,
        lLayers: 2,
        rLayers: 0,
        xLayers: 1,
        maxPositionEmbeddings: 4,
        visualFeatDim: 3,
      }),
    ).filter(({ name }) => name.startsWith('lxmert.'));
    const sizes = new Map(specs.map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]));
    await writeTorchFile(join(to, 'x.pth'), specs, 'F32', async function* (name) {
      yield new Float32Array(sizes.get(name)!);
    });
    return join(to, 'x.pth');
  }

  test('without a config.json, sizes come from the shapes; heads of 64 dimensions are assumed, and a note says so', async () => {
    const to = join(await fresh(), 'out');
    const { notes } = await convert(await encoder(128, 2), to);
    expect(notes.join()).toMatch(/sizes are those of the shapes; heads of 64 dimensions were assumed, 2 in all/);
    expect(readJson(to, 'config.json')).toMatchObject({
      architectures: ['LxmertModel'],
      hidden_size: 128,
      num_attention_heads: 2,
      intermediate_size: 5,
      l_layers: 2,
      r_layers: 0,
      x_layers: 1,
      visual_feat_dim: 3,
      max_position_embeddings: 4,
    });
  });

  test('a width that is not a multiple of 64 needs the number of heads', async () => {
    const from = await encoder(12, 3);
    await expect(convert(from, join(await fresh(), 'out'))).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('give --heads'),
    });
    const to = join(await fresh(), 'out');
    await convert(from, to, { heads: 3 });
    expect(readJson(to, 'config.json')).toMatchObject({ num_attention_heads: 3 });
  });

  test('a config.json of another encoder is refused; the numbers of labels come from the shapes', async () => {
    const to = await fresh();
    await cp(fixture('finetuned-vqa'), join(to, 'vqa'), { recursive: true });
    const config = readJson(to, 'vqa/config.json') as object;
    await writeFile(join(to, 'vqa/config.json'), JSON.stringify({ ...config, num_qa_labels: 9500 }));
    const { notes } = await convert(join(to, 'vqa/BEST.pth'), join(to, 'out'));
    expect(notes.join()).toMatch(/config\.json says numQaLabels 9500; the shapes say 6, which is used/);
    await writeFile(join(to, 'vqa/config.json'), JSON.stringify({ ...config, intermediate_size: 99 }));
    await expect(convert(join(to, 'vqa/BEST.pth'), join(to, 'more'))).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringMatching(/says intermediateSize 99, but the shapes in .*BEST\.pth say 20/),
    });
    // A number that does not follow from any shape is checked against a limit before tensors are searched.
    await writeFile(join(to, 'vqa/config.json'), JSON.stringify({ ...config, r_layers: 1e9 }));
    await expect(convert(join(to, 'vqa/BEST.pth'), join(to, 'more'))).rejects.toThrow(
      /says rLayers 1000000000; at most 1000/,
    );
  });
});

describe('other element types', () => {
  test.each(['F16', 'BF16'] as const)('%s', async (dtype) => {
    const to = await fresh();
    await convert(fixture('transformers-qa/safetensors'), join(to, 'low'), { dtype });
    await convert(join(to, 'low'), join(to, 'original/x.pth'), { to: 'original', dtype });
    await convert(join(to, 'original/x.pth'), join(to, 'again'), { dtype });
    const bytes = (name: string) => readFile(join(to, name, 'model.safetensors'));
    expect(await bytes('again')).toEqual(await bytes('low'));
  });

  test('a number that is too large for float16 is refused, and no output remains', async () => {
    const to = await fresh();
    await cp(fixture('transformers-qa/safetensors/config.json'), join(to, 'config.json'));
    await using file = await SafetensorsFile.open(fixture('transformers-qa/safetensors/model.safetensors'));
    await writeSafetensors(join(to, 'model.safetensors'), [...file.entries.values()], async (name) => {
      const values = await file.readFloat32(name);
      return name === 'lxmert.pooler.dense.bias' ? values.fill(70000) : values;
    });
    await expect(convert(to, join(to, 'out'), { dtype: 'F16' })).rejects.toThrow(
      /lxmert\.pooler\.dense\.bias contains 70000, which is too large for float16/,
    );
    expect((await readdir(to)).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  test('bfloat16 is rounded to the nearest, ties to even', () => {
    const given = Float32Array.from([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -1.0000001, Infinity, NaN, 3.4e38]);
    const read = toFloat32('BF16', floatsToBFloat16(given));
    expect([...read]).toEqual([1, 1, 1 + 2 ** -6, -1, Infinity, NaN, Infinity]);
  });
});

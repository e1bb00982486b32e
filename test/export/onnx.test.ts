/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { exportOnnx } from '../../src/export/index.js';
import type { ExportOnnxOptions } from '../../src/export/index.js';
import { readOnnxMetadata } from '../../src/formats/onnx.js';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { fixture } from '../finetune/support.js';
import { feedsOf, floatsOf, furthest, modelOf, run, sampleOf } from './support.js';

/**
 * Graphs of the fixtures' models, run by onnxruntime on the fixtures' batches, whose samples have different numbers of tokens
 * and objects. The expected outputs are those of transformers and of the original, in float64.
 */
let folder: string;
let serial = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-export-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function exported(name: string, options: Partial<ExportOnnxOptions> = {}) {
  const out = join(folder, `${(serial += 1)}.onnx`);
  return exportOnnx(modelOf(name, folder), { out, ...options });
}

/** The names of outputs in the fixtures, where they differ. */
const fixtureNames: Readonly<Record<string, string>> = {
  object_logits: 'obj_scores',
  attribute_logits: 'attr_scores',
  feature_predictions: 'feat_scores',
  logits: 'question_answering_score',
};

/** The largest difference of each output from the fixture's. Rows of padding have no meaning. */
async function differences(name: string, path: string): Promise<Readonly<Record<string, number>>> {
  const feeds = await feedsOf(name);
  await using expected = await SafetensorsFile.open(join(fixture(name), 'expected.safetensors'));
  const found: [string, number][] = [];
  for (const [output, tensor] of Object.entries(await run(path, feeds))) {
    const named = expected.entries.has(output) ? output : fixtureNames[output];
    const mask =
      output.startsWith('language') || output.startsWith('prediction') ? 'attention_mask' : 'visual_attention_mask';
    const rows = tensor.dims.length === 3 ? (feeds[mask].data as BigInt64Array) : undefined;
    const values = await expected.readFloat32(named);
    found.push([output, furthest(floatsOf(tensor), values, tensor.dims.at(-1), rows)]);
  }
  return Object.fromEntries(found);
}

const heads = [
  ...['prediction_logits', 'cross_relationship_score', 'logits'],
  ...['object_logits', 'attribute_logits', 'feature_predictions'],
];
const states = ['language_output', 'vision_output', 'pooled_output'];

test.each([
  ['tiny', undefined, heads],
  ['tiny', 'encoder', states],
  ['tiny', 'gqa', ['logits']],
  ['head32', 'pretrain', heads],
  ['finetune-vqa', 'vqa', ['logits']],
  ['finetune-vqa', undefined, ['logits']],
  ['finetune-vqa', 'encoder', states],
  ['finetune-nlvr2', undefined, ['logits']],
] as const)('%s, task %s: the outputs are those of the reference', async (name, task, outputs) => {
  const made = await exported(name, { task });
  expect(made.outputs.map((port) => port.name)).toEqual(outputs);
  const found = await differences(name, made.out);
  expect(Object.keys(found)).toEqual(outputs);
  for (const [output, difference] of Object.entries(found)) expect([output, difference < 1e-4]).toEqual([output, true]);
});

test('float16: inputs and outputs are float32, the file has half the size, and the outputs are near', async () => {
  for (const name of ['tiny', 'finetune-vqa', 'finetune-nlvr2']) {
    const [half, full] = [await exported(name, { precision: 'float16' }), await exported(name)];
    expect(new Set([...half.inputs, ...half.outputs].map(({ type }) => type))).toEqual(new Set(['int64', 'float32']));
    expect(full.bytes - half.bytes).toBeGreaterThan(2 * full.parameters - 2000);
    for (const [output, difference] of Object.entries(await differences(name, half.out)))
      expect([name, output, difference < 1e-2]).toEqual([name, output, true]);
  }
});

test('a padded batch gives the same outputs as its samples one by one', async () => {
  for (const [name, task] of [
    ['finetune-vqa', 'encoder'],
    ['finetune-vqa', 'vqa'],
    ['tiny', 'pretrain'],
  ] as const) {
    const { out } = await exported(name, { task });
    const feeds = await feedsOf(name);
    const all = await run(out, feeds);
    for (let i = 0; i < feeds.input_ids.dims[0]; i++)
      for (const [output, { dims, data }] of Object.entries(await run(out, sampleOf(feeds, i)))) {
        const size = all[output].dims.slice(1).reduce((a, b) => a * b, 1);
        const rows = floatsOf(all[output]).subarray(i * size, i * size + data.length);
        expect([output, dims[0], furthest(rows, data as Float32Array) < 1e-5]).toEqual([output, 1, true]);
      }
  }
});

test('with external data, the values are in a second file, and both files can be moved together', async () => {
  const [one, two] = [await exported('finetune-vqa'), await exported('finetune-vqa', { externalData: true })];
  expect(one.data).toBeUndefined();
  expect(two.data?.path).toBe(`${two.out}.data`);
  expect(two.data?.bytes).toBe(statSync(`${two.out}.data`).size);
  expect(two.bytes).toBeLessThan(one.bytes - 4 * two.parameters + 40_000);
  const moved = join(folder, 'moved');
  mkdirSync(moved);
  const name = two.out.split('/').at(-1)!;
  for (const file of [name, `${name}.data`]) renameSync(join(folder, file), join(moved, file));
  expect(await differences('finetune-vqa', join(moved, name))).toEqual(await differences('finetune-vqa', one.out));
  const half = await exported('finetune-nlvr2', { externalData: true, precision: 'float16' });
  expect((await differences('finetune-nlvr2', half.out)).logits).toBeLessThan(1e-2);
});

test('each weight is stored once: the tied decoder, the shared cross-attention, the sentence of two pictures', async () => {
  for (const name of ['tiny', 'finetune-nlvr2']) {
    const { bytes, parameters } = await exported(name);
    expect(bytes).toBeGreaterThan(4 * parameters);
    expect(bytes - 4 * parameters).toBeLessThan(90_000);
    const file = await SafetensorsFile.open(join(fixture(name), 'model.safetensors'));
    const all = [...file.entries.values()].reduce((sum, { count }) => sum + count, 0);
    await file.close();
    expect(parameters).toBeLessThanOrEqual(all);
  }
});

test('nothing else is left in the folder, and the metadata describe the model', async () => {
  const { out } = await exported('finetune-vqa', { answers: Array.from({ length: 37 }, (_, i) => `answer ${i}`) });
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  const metadata = await readOnnxMetadata(out);
  expect(metadata).toMatchObject({
    'lxmert.task': 'qa',
    'lxmert.precision': 'float32',
    'lxmert.probabilities': 'sigmoid',
  });
  expect(JSON.parse(metadata['lxmert.config'])).toMatchObject({ hidden_size: 64, x_layers: 2 });
  expect(JSON.parse(metadata['lxmert.answers'])).toHaveLength(37);
  expect(metadata).not.toHaveProperty('lxmert.vocabulary');
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { Engine } from '../../src/engine/index.js';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { ModelWeights } from '../../src/model/weights.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';

const config = modelConfigSchema.parse({
  vocabSize: 1000,
  hiddenSize: 48,
  numAttentionHeads: 4,
  intermediateSize: 96,
  lLayers: 1,
  rLayers: 1,
  xLayers: 1,
  visualFeatDim: 32,
  numQaLabels: 11,
});

describe('ModelWeights', () => {
  let engine: Engine;
  let weights: ModelWeights;
  beforeAll(() => {
    engine = Engine.create({ threads: 1 });
    weights = new ModelWeights(engine, pretrainParameters(config));
  });
  afterAll(() => engine.dispose());

  test('has the parameter names of the original, also for the base size', async () => {
    const file = await SafetensorsFile.open(join(import.meta.dirname, '../fixtures/tiny/model.safetensors'));
    await file.close();
    const oneLayer = pretrainParameters(modelConfigSchema.parse({ lLayers: 1, rLayers: 1, xLayers: 1 }));
    expect(oneLayer.map(({ name }) => name).sort()).toEqual([...file.entries.keys()].sort());
    const count = (specs: { shape: readonly number[] }[]): number =>
      specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    // transformers' LxmertForPreTraining with its defaults has 228,051,752 parameters.
    expect(count(pretrainParameters(modelConfigSchema.parse({})))).toBe(228_051_752);
  });

  test('the weights of query, key and value are adjacent in memory', () => {
    const name = 'lxmert.encoder.layer.0.attention.self';
    const { weight, bias } = weights.qkv(name);
    expect(weight.tensor.shape).toEqual([144, 48]);
    const offsets = (part: string): number[] =>
      ['query', 'key', 'value'].map((p) => weights.get(`${name}.${p}.${part}`).offset);
    expect(offsets('weight')).toEqual([0, 1, 2].map((i) => weight.tensor.offset + i * 48 * 48 * 4));
    expect(offsets('bias')).toEqual([0, 1, 2].map((i) => bias.tensor.offset + i * 48 * 4));
  });

  test('no two parameters overlap, and gradients have the same offsets', () => {
    const spans = weights.parameters
      .map(({ offset, spec }) => [offset, offset + spec.shape.reduce((a, b) => a * b, 4)])
      .sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < spans.length; i++) expect(spans[i][0]).toBeGreaterThanOrEqual(spans[i - 1][1]);
    expect(spans[spans.length - 1][1]).toBeLessThanOrEqual(weights.bytes);
    for (const { tensor, gradient } of weights.parameters) expect(gradient.offset).toBe(tensor.offset);
  });

  test('the ranges of a group cover its parameters and nothing else', () => {
    const ranges = weights.ranges(new Set(['matched', 'qa']));
    for (const { offset, spec } of weights.parameters) {
      const inside = ranges.some(([begin, end]) => offset >= begin && offset < end);
      expect([spec.name, inside]).toEqual([spec.name, spec.group === 'matched' || spec.group === 'qa']);
    }
  });

  test('initial values are N(0, deviation²), ones or zeros, and depend only on the seed', async () => {
    const read = async (name: string): Promise<Float32Array> => engine.readFloats(weights.get(name).tensor);
    await weights.initialize(7, 0.05);
    const words = await read('lxmert.embeddings.word_embeddings.weight');
    const mean = words.reduce((a, b) => a + b, 0) / words.length;
    const deviation = Math.sqrt(words.reduce((a, b) => a + (b - mean) ** 2, 0) / words.length);
    const fourth = words.reduce((a, b) => a + (b - mean) ** 4, 0) / words.length / deviation ** 4;
    expect(Math.abs(mean)).toBeLessThan((4 * 0.05) / Math.sqrt(words.length));
    expect(deviation / 0.05).toBeCloseTo(1, 1);
    expect(fourth).toBeGreaterThan(2.8);
    expect(fourth).toBeLessThan(3.2);
    expect(new Set(await read('lxmert.embeddings.LayerNorm.weight'))).toEqual(new Set([1]));
    expect(new Set(await read('lxmert.pooler.dense.bias'))).toEqual(new Set([0]));
    await weights.initialize(8, 0.05);
    const other = await read('lxmert.embeddings.word_embeddings.weight');
    expect(other).not.toEqual(words);
    await weights.initialize(7, 0.05);
    expect(await read('lxmert.embeddings.word_embeddings.weight')).toEqual(words);
    const query = await read('lxmert.encoder.layer.0.attention.self.query.weight');
    expect(query).not.toEqual(await read('lxmert.encoder.layer.0.attention.self.key.weight'));
  });

  test('a signal ends the initialisation after the current parameter', async () => {
    const valuesOf = () => Promise.all(weights.parameters.map(({ tensor }) => engine.readFloats(tensor)));
    await weights.initialize(7, 0.05);
    const before = await valuesOf();
    let looks = 0;
    const throwIfAborted = () => {
      if (++looks === 3) throw new Error('enough');
    };
    await expect(weights.initialize(9, 0.05, { throwIfAborted } as AbortSignal)).rejects.toThrow('enough');
    const after = await valuesOf();
    expect(after.slice(2)).toEqual(before.slice(2));
    expect(after[0]).not.toEqual(before[0]);
  });
});

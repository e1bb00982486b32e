import { describe, expect, test } from '@jest/globals';
import type { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../../support/batches.js';
import { newPretrainer, stepOptions } from './work.js';

/** Two models with different sizes, batches and numbers of threads. */
const setups = [
  { config: smallConfig({ hiddenSize: 64, numAttentionHeads: 4 }), batchSize: 24, threads: 2, seed: 1 },
  {
    config: smallConfig({ hiddenSize: 96, numAttentionHeads: 4, lLayers: 2, hiddenDropoutProb: 0.2 }),
    batchSize: 10,
    threads: 3,
    seed: 2,
  },
] as const;

const names = [
  'lxmert.encoder.x_layers.0.visual_attention.att.query.weight',
  'lxmert.embeddings.word_embeddings.weight',
];

const open = async ({ config, threads, seed }: (typeof setups)[number]): Promise<Pretrainer> => {
  const model = newPretrainer(config, threads);
  await model.initialize(seed);
  return model;
};

const step = async (model: Pretrainer, i: 0 | 1, number: number): Promise<number[]> => {
  const { config, batchSize } = setups[i];
  const result = await model.step([randomBatch(config, number, { samples: batchSize })], stepOptions(number));
  return [result.loss, result.gradNorm];
};

const weightsOf = (model: Pretrainer): Promise<Float32Array[]> =>
  Promise.all(names.map((name) => model.read('parameter', name)));

const steps = 4;

describe('two engines in one process', () => {
  test('give the same bits at the same time as each alone', async () => {
    const alone = [];
    for (const i of [0, 1] as const) {
      const model = await open(setups[i]);
      const results = [];
      for (let n = 0; n < steps; n++) results.push(await step(model, i, n));
      alone.push({ results, weights: await weightsOf(model) });
      await model.dispose();
    }
    expect(alone[0].results).not.toEqual(alone[1].results);

    const models = await Promise.all(setups.map(open));
    const together = [];
    for (let n = 0; n < steps; n++) together.push(await Promise.all([step(models[0], 0, n), step(models[1], 1, n)]));
    for (const i of [0, 1] as const) {
      expect(together.map((results) => results[i])).toEqual(alone[i].results);
      expect(await weightsOf(models[i])).toEqual(alone[i].weights);
    }
    await Promise.all(models.map((model) => model.dispose()));
  });

  test('one engine ends while the other continues', async () => {
    const [first, second] = await Promise.all(setups.map(open));
    const results: number[][] = [];
    const ending = first.dispose();
    for (let n = 0; n < 2; n++) results.push(await step(second, 1, n));
    await ending;
    await expect(step(first, 0, 0)).rejects.toMatchObject({ code: 'DISPOSED' });
    const again = await open(setups[1]);
    for (let n = 0; n < 2; n++) expect(await step(again, 1, n)).toEqual(results[n]);
    await Promise.all([second.dispose(), again.dispose()]);
  });
});

import { afterEach, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import { plainSum, type LossWeights } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../support/batches.js';

const config = smallConfig();
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const models: Pretrainer[] = [];

afterEach(async () => {
  for (const model of models.splice(0)) await model.dispose();
});

async function freshModel(changes: Partial<typeof config> = {}): Promise<Pretrainer> {
  const model = new Pretrainer({ config: { ...config, ...changes }, adam, engine: { threads: 1 } });
  models.push(model);
  await model.initialize(3);
  return model;
}

async function snapshot(model: Pretrainer): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name } of model.parameters)
    for (const kind of ['parameter', 'firstMoment', 'secondMoment'] as const)
      values.set(`${kind} ${name}`, await model.read(kind, name));
  return values;
}

const options = (weights: LossWeights, step = 0): Parameters<Pretrainer['step']>[1] => ({
  step,
  learningRate: 1e-2,
  seed: 5,
  weights,
});

/** The names of the parameters and moments that a step changed. */
async function changedBy(model: Pretrainer, weights: LossWeights, batch: Batch): Promise<string[]> {
  const before = await snapshot(model);
  await model.step([batch], options(weights));
  const after = await snapshot(model);
  return [...before]
    .filter(([name, values]) => !Buffer.from(values.buffer).equals(Buffer.from(after.get(name)!.buffer)))
    .map(([name]) => name);
}

describe('Pretrainer', () => {
  test('training on one batch again and again lowers its loss', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 1);
    const losses: number[] = [];
    for (let step = 0; step < 30; step++) losses.push((await model.step([batch], options(plainSum, step))).loss);
    expect(losses[29]).toBeLessThan(0.8 * losses[0]);
  });

  test('the head of a disabled task does not change, not by weight decay either, and its moments do not change', async () => {
    const model = await freshModel();
    const heads = /answer_head|obj_predict_head|seq_relationship|pooler/;
    const changed = await changedBy(
      model,
      { ...plainSum, matched: 0, qa: 0, obj: 0, attr: 0, feat: 0 },
      randomBatch(config, 2),
    );
    expect(changed.filter((name) => heads.test(name))).toEqual([]);
    expect(changed).toContain('parameter cls.predictions.transform.dense.weight');
    expect(changed).toContain('firstMoment lxmert.embeddings.word_embeddings.weight');
  });

  test('one visual loss alone does not change the decoders of the other visual losses', async () => {
    const model = await freshModel();
    const changed = await changedBy(model, { ...plainSum, obj: 0, feat: 0 }, randomBatch(config, 2));
    expect(changed.filter((name) => /decoder_dict\.(obj|feat)/.test(name))).toEqual([]);
    expect(changed).toContain('parameter obj_predict_head.decoder_dict.attr.weight');
    expect(changed).toContain('parameter obj_predict_head.transform.dense.weight');
  });

  test('a task without labels has loss 0 and zero gradient, but weight decay still applies', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 4, { answered: 0 });
    const name = 'answer_head.logit_fc.3.weight';
    const before = await model.read('parameter', name);
    const { losses } = await model.step([batch], options(plainSum));
    const after = await model.read('parameter', name);
    expect(losses.qa).toBe(0);
    expect(await model.read('firstMoment', name)).toEqual(new Float32Array(before.length));
    before.forEach((weight, i) => expect(after[i]).toBeCloseTo(weight * (1 - 1e-2 * 0.01), 6));
  });

  test('a batch without masked words or objects trains the other tasks', async () => {
    const model = await freshModel();
    const { losses, loss } = await model.step([randomBatch(config, 6, { masked: 0 })], options(plainSum));
    expect(losses.maskedLm).toBe(0);
    expect(losses.feat).toBe(0);
    expect(losses.obj).toBeGreaterThan(0);
    expect(Number.isFinite(loss)).toBe(true);
  });

  test('a gradient that is not finite changes nothing and names the samples', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 7);
    batch.visualFeats[3] = NaN;
    const before = await snapshot(model);
    await expect(model.step([batch], options(plainSum, 12))).rejects.toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(/^step 12: the loss of .*matched.*sample 0 of seed 7/),
    });
    expect(await snapshot(model)).toEqual(before);
    const { loss } = await model.step([randomBatch(config, 8)], options(plainSum, 13));
    expect(Number.isFinite(loss)).toBe(true);
  });

  test('steps that are enqueued together give the results of steps one after the other', async () => {
    const batches = [1, 2, 3, 4].map((seed) => randomBatch(config, seed, { samples: 3 + seed }));
    const [together, apart] = [await freshModel(), await freshModel()];
    const results = await Promise.all(batches.map((batch, step) => together.step([batch], options(plainSum, step))));
    for (const [step, batch] of batches.entries())
      expect(await apart.step([batch], options(plainSum, step))).toEqual(results[step]);
    expect(await snapshot(apart)).toEqual(await snapshot(together));
  });

  test('evaluation has no dropout, changes nothing and counts the right predictions', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 9);
    const before = await snapshot(model);
    const first = await model.evaluate(batch, plainSum);
    expect(await model.evaluate(batch, plainSum)).toEqual(first);
    expect(await snapshot(model)).toEqual(before);
    expect(first.matched).toMatchObject({ count: batch.size, labelled: batch.size });
    expect(first.qa.labelled).toBe(batch.answers.filter((answer) => answer >= 0).length);
    expect(first.obj).toMatchObject({ count: batch.objectLabels.length, labelled: batch.objectLabels.length });
    expect(first.maskedLm.correct).toBeLessThanOrEqual(first.maskedLm.labelled);
  });

  test('samples that do not fit the model are refused, and the message names them', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 10);
    batch.objectLabels[batch.objectOffsets[2]] = config.numObjectLabels;
    await expect(model.step([batch], options(plainSum))).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(/sample 2 of seed 10: object class 11 is outside \[0, 11\)/),
    });
  });
});

describe('forward only', () => {
  const noDropout = { hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 };
  const batch = randomBatch(config, 13, { samples: 9 });

  test('needs no more memory for more layers', async () => {
    const workspace = async (layers: object): Promise<number> => {
      const model = await freshModel(layers);
      await model.evaluate(batch, plainSum);
      return model.engine.memory().workspace;
    };
    const two = await workspace({ lLayers: 2, rLayers: 2, xLayers: 2 });
    expect(await workspace({ lLayers: 6, rLayers: 5, xLayers: 4 })).toBe(two);
  });

  test('gives the same losses as training', async () => {
    const model = await freshModel({ ...noDropout, lLayers: 3, rLayers: 2, xLayers: 3 });
    const trained = await model.gradients([batch], options(plainSum));
    expect(await model.evaluate(batch, plainSum)).toEqual(trained);
  });
});

describe('rows that no loss needs are not computed', () => {
  const answersOnly: LossWeights = { maskedLm: 0, matched: 0, obj: 0, attr: 0, feat: 0, qa: 1 };
  // The weight is so small that the loss of the words adds nothing, but it makes the model compute all rows of the last layer.
  const everything: LossWeights = { ...answersOnly, maskedLm: 1e-30 };

  test('the answers are the same', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 11, { samples: 9 });
    const logits = (weights: LossWeights): Promise<Float32Array> =>
      model.forward(batch, weights, { use: ({ logits: { qa } }) => model.engine.readFloats(qa!) });
    const [short, whole] = [await logits(answersOnly), await logits(everything)];
    whole.forEach((value, i) => expect(short[i]).toBeCloseTo(value, 5));
    expect(new Set(short).size).toBeGreaterThan(20);
  });

  test('the gradients are the same, also with dropout', async () => {
    const model = await freshModel();
    const batch = randomBatch(config, 12, { samples: 6 });
    await model.gradients([batch], options(everything, 4));
    const whole = new Map<string, Float32Array>();
    for (const { name } of model.parameters) whole.set(name, await model.read('gradient', name));
    const { qa } = await model.gradients([batch], options(answersOnly, 4));
    expect(qa.labelled).toBeGreaterThan(0);
    for (const { name } of model.parameters.filter((parameter) => parameter.name.startsWith('lxmert.'))) {
      const short = await model.read('gradient', name);
      const scale = Math.max(1e-2, ...whole.get(name)!.map(Math.abs));
      short.forEach((value, i) => expect(Math.abs(value - whole.get(name)![i])).toBeLessThan(1e-5 * scale));
    }
  });
});

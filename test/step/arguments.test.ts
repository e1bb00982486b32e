/** Invalid arguments must be refused before any work is enqueued, so that they change neither weights nor moments. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import { plainSum, type StepOptions } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../support/batches.js';

const config = smallConfig();
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const good: StepOptions = { step: 0, learningRate: 1e-2, seed: 5, weights: plainSum };
const batch = randomBatch(config, 1);
const notNumbers = [undefined, null, NaN, Infinity, -Infinity, 1e39, -1, '0.1'];
const notWords = [...notNumbers, 0.5, 2 ** 32];

const opened: Pretrainer[] = [];
const make = (options: object = {}): Pretrainer => {
  const model = new Pretrainer({ config, adam, engine: { device: 'cpu', threads: 1 }, ...options });
  opened.push(model);
  return model;
};
afterEach(async () => {
  for (const model of opened.splice(0)) await model.dispose();
});

/** All weights and moments as one text, for comparisons. */
async function stateOf(model: Pretrainer): Promise<string> {
  const all: string[] = [];
  for (const { name } of model.parameters)
    for (const kind of ['parameter', 'firstMoment', 'secondMoment'] as const)
      all.push(Buffer.from((await model.read(kind, name)).buffer).toString('base64'));
  return all.join();
}

const refused = (what: RegExp) => ({ code: 'BAD_ARGUMENT', message: expect.stringMatching(what) });

describe('a model with weights', () => {
  let model: Pretrainer;
  let enqueued: number;
  beforeEach(async () => {
    model = make();
    await model.initialize(3);
    enqueued = 0;
    model.engine.observer = () => {
      enqueued++;
    };
  });

  const wrong: [string, object][] = [
    ...notNumbers.map((value): [string, object] => ['learningRate', { learningRate: value }]),
    ...notWords.map((value): [string, object] => ['seed', { seed: value }]),
    ...notWords.map((value): [string, object] => ['step', { step: value }]),
    ...notNumbers.map((value): [string, object] => ['weights.qa', { weights: { ...plainSum, qa: value } }]),
    ['weights.maskedLm', { weights: undefined }],
    ['weights.maskedLm', { weights: {} }],
  ];
  test('step and gradients refuse options that are not valid numbers', async () => {
    const before = await stateOf(model);
    for (const [name, change] of wrong)
      for (const call of ['step', 'gradients'] as const)
        await expect(model[call]([batch], { ...good, ...change })).rejects.toMatchObject(
          refused(new RegExp(`^${name} must be`)),
        );
    await expect(model.step([], good)).rejects.toMatchObject(refused(/at least one batch/));
    expect(enqueued).toBe(0);
    expect(await stateOf(model)).toBe(before);
    expect(Number.isFinite((await model.step([batch], good)).loss)).toBe(true);
  });

  test('forward, evaluate and memoryFor refuse loss weights that are not numbers', async () => {
    const weights = { ...plainSum, obj: NaN };
    await expect(model.evaluate(batch, weights)).rejects.toMatchObject(refused(/^weights\.obj/));
    await expect(model.forward(batch, weights, { use: async () => 1 })).rejects.toMatchObject(refused(/^weights\.obj/));
    await expect(model.memoryFor([batch], weights)).rejects.toMatchObject(refused(/^weights\.obj/));
    expect(enqueued).toBe(0);
  });

  test('initialize refuses a seed that is not a 32-bit integer', async () => {
    for (const seed of notWords) await expect(model.initialize(seed as number)).rejects.toMatchObject(refused(/^seed/));
    expect(enqueued).toBe(0);
  });

  test('read and write refuse unknown names and kinds, and suggest the most similar parameter name', async () => {
    await expect(model.read('parameter', 'nope')).rejects.toMatchObject(refused(/no parameter nope/));
    await expect(model.read('parameter', 'lxmert.pooler.dense.bais')).rejects.toMatchObject(
      refused(/did you mean lxmert\.pooler\.dense\.bias\?/),
    );
    await expect(model.read('moment' as 'parameter', 'lxmert.pooler.dense.bias')).rejects.toMatchObject(
      refused(/no state moment; expected parameter, gradient, firstMoment, secondMoment/),
    );
    const [{ name, shape }] = model.parameters;
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (const value of [NaN, Infinity, -Infinity]) {
      values[2] = value;
      await expect(model.write('parameter', name, values)).rejects.toMatchObject(refused(/\[2\] must be a finite/));
    }
    await expect(model.write('parameter', 'nope', new Float32Array(1))).rejects.toMatchObject(refused(/nope/));
    await expect(model.write('parameter', 'lxmert.pooler.dense.bias', new Float32Array(1))).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    });
  });

  const damaged: [string, (batch: Batch) => Partial<Batch>, RegExp][] = [
    ['size', () => ({ size: NaN }), /a batch of NaN samples/],
    ['firstSample', () => ({ firstSample: 0.5 }), /firstSample is 0\.5/],
    ['first offset', ({ tokenOffsets }) => ({ tokenOffsets: tokenOffsets.map((at) => at + 1) }), /begins with 1/],
    [
      'masked row',
      ({ maskedTokenRows: rows }) => ({ maskedTokenRows: rows.map(() => 9999) }),
      /maskedTokenRows\[0\] is 9999/,
    ],
    [
      'masked object',
      ({ maskedObjectRows: r }) => ({ maskedObjectRows: r.map(() => -1) }),
      /maskedObjectRows\[0\] is -1/,
    ],
    ['answer', ({ answers }) => ({ answers: answers.map(() => 99) }), /answer 99/],
  ];
  test.each(damaged)('if one part of the batch has a bad %s, no part of the step runs', async (_, change, message) => {
    const before = await stateOf(model);
    const bad = { ...batch, ...change(batch) };
    await expect(model.step([batch, bad], good)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(message),
    });
    expect(enqueued).toBe(0);
    expect(await stateOf(model)).toBe(before);
  });

  test('a call of the model inside `use` is refused, and a call after `use` works', async () => {
    const calls: (() => Promise<unknown>)[] = [
      () => model.step([batch], good),
      () => model.evaluate(batch, plainSum),
      () => model.read('parameter', 'lxmert.pooler.dense.bias'),
      () => model.initialize(1),
      () => model.memoryFor([batch], plainSum),
      () => model.answer(batch),
    ];
    for (const call of calls) {
      const use = async () => {
        await new Promise((done) => setImmediate(done));
        return call();
      };
      await expect(model.forward(batch, plainSum, { use })).rejects.toMatchObject(refused(/`use` of a forward call/));
    }
    const later: Promise<unknown>[] = [];
    const use = async () => {
      later.push(new Promise((done) => setTimeout(done, 50)).then(() => model.evaluate(batch, plainSum)));
    };
    await model.forward(batch, plainSum, { use });
    const [tallies] = await Promise.all(later);
    expect(tallies).toEqual(await model.evaluate(batch, plainSum));
  });

  test('if a step is not finite, steps that were already enqueued are not made, but later steps are', async () => {
    const broken = { ...batch, visualFeats: batch.visualFeats.map(() => NaN) };
    const before = await stateOf(model);
    const results = await Promise.allSettled([
      model.step([broken], good),
      model.step([batch], { ...good, step: 1 }),
      model.step([batch], { ...good, step: 2 }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'NOT_FINITE' } });
    expect(results[1]).toMatchObject({ reason: { message: expect.stringContaining('step 1 was not made') } });
    expect(await stateOf(model)).toBe(before);
    const [tooLarge, next] = await Promise.allSettled([
      model.step([{ ...batch, answers: batch.answers.map(() => 99) }], good),
      model.step([batch], good),
    ]);
    expect([tooLarge.status, next.status]).toEqual(['rejected', 'fulfilled']);
  });
});

describe('a model without weights', () => {
  test('refuses to compute and to train', async () => {
    const model = make();
    const calls = [model.step([batch], good), model.gradients([batch], good), model.evaluate(batch, plainSum)];
    for (const call of calls) await expect(call).rejects.toMatchObject(refused(/has no weights: .*initialize\(seed\)/));
    const [last, ...others] = model.parameters;
    const zeros = ({ name, shape }: typeof last) =>
      model.write('parameter', name, new Float32Array(shape.reduce((a, b) => a * b, 1)));
    for (const parameter of others) await zeros(parameter);
    await expect(model.evaluate(batch, plainSum)).rejects.toMatchObject(refused(new RegExp(`1 of .*${last.name}`)));
    await zeros(last);
    expect((await model.evaluate(batch, plainSum)).matched.count).toBe(batch.size);
  });

  test('can still plan memory', async () => {
    expect((await make().memoryFor([batch], plainSum)).workspace).toBeGreaterThan(0);
  });
});

test.each([
  ...[NaN, 1, -0.1, 0.99999999, undefined].map((beta1) => ['beta1', { beta1 }] as const),
  ...[NaN, 1, -0.1, Infinity].map((beta2) => ['beta2', { beta2 }] as const),
  ...[0, NaN, -1e-6, 1e-50, Infinity].map((epsilon) => ['epsilon', { epsilon }] as const),
  ...[NaN, -1, Infinity].map((weightDecay) => ['weightDecay', { weightDecay }] as const),
  ...[NaN, -1, 1e39].map((maxGradNorm) => ['maxGradNorm', { maxGradNorm }] as const),
])('adam.%s of %j is refused', (name, change) => {
  expect(() => make({ adam: { ...adam, ...change } })).toThrow(
    expect.objectContaining(refused(new RegExp(`^adam\\.${name} must be`))),
  );
});

test.each([
  [{ hiddenSize: NaN }, /^config\.hiddenSize/],
  [{ vocabSize: 0 }, /^config\.vocabSize/],
  [{ numAttentionHeads: 5 }, /^config\.numAttentionHeads/],
  [{ hiddenDropoutProb: 1 }, /^config\.hiddenDropoutProb/],
  [{ initializerRange: Infinity }, /^config\.initializerRange/],
  [{ numQaLabels: undefined }, /^config\.numQaLabels is missing/],
])('a config with %j is refused', (change, message) => {
  expect(() => make({ config: { ...config, ...change } })).toThrow(expect.objectContaining(refused(message)));
});

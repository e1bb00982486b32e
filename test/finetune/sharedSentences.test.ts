import { describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/data/batches/batch.js';
import { Finetuner } from '../../src/finetune/finetuner.js';
import type { Rows } from '../../src/engine/index.js';
import { randomBatch, smallConfig } from '../support/batches.js';
import { emulator } from '../support/emulator.js';

const noDropout = { hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 };
const config = smallConfig({ lLayers: 2, numQaLabels: 2, ...noDropout });
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const options = { step: 1, seed: 1, learningRate: 1e-3, weights: { answer: 1 } };
const devices = [
  ['the CPU', {}],
  ...(emulator ? [['the emulator', { device: 'cuda' as const, cudaLibrary: emulator }] as const] : []),
] as const;

/** The objects of four examples. */
const drawn = randomBatch(config, 3, { samples: 8, masked: 0 });

/** ‖a - b‖ ≤ limit · ‖b‖ + 1e-6. The gradient of a key's bias is 0 except for rounding. */
function near(a: Float32Array, b: Float32Array, limit: number): boolean {
  expect(a.length).toBe(b.length);
  return Math.hypot(...a.map((value, i) => value - b[i])) <= limit * Math.hypot(...b) + 1e-6;
}

/** Examples of two pictures each: the tokens of `sentences[e]` for both pictures of example e. */
function pairs(sentences: readonly (readonly [readonly number[], readonly number[]])[]): Batch {
  const ofSamples = sentences.flat();
  const tokenOffsets = new Int32Array(ofSamples.length + 1);
  ofSamples.forEach((tokens, s) => (tokenOffsets[s + 1] = tokenOffsets[s] + tokens.length));
  const objects = drawn.objectOffsets[ofSamples.length];
  return {
    objectOffsets: drawn.objectOffsets.slice(0, ofSamples.length + 1),
    visualFeats: drawn.visualFeats.slice(0, objects * config.visualFeatDim),
    visualPos: drawn.visualPos.slice(0, objects * 4),
    objectLabels: drawn.objectLabels.slice(0, objects),
    objectConfs: drawn.objectConfs.slice(0, objects),
    attributeLabels: drawn.attributeLabels.slice(0, objects),
    attributeConfs: drawn.attributeConfs.slice(0, objects),
    size: ofSamples.length,
    pictures: 2,
    firstSample: 0,
    sampleIds: ofSamples.map((_, s) => `sample ${s}`),
    tokenIds: Int32Array.from(ofSamples.flat()),
    tokenOffsets,
    maskedTokenRows: new Int32Array(0),
    maskedTokenLabels: new Int32Array(0),
    maskedObjectRows: new Int32Array(0),
    featureTargets: new Float32Array(0),
    matched: new Int32Array(ofSamples.length).fill(1),
    answers: new Int32Array(ofSamples.length).fill(-1),
    targetOffsets: Int32Array.from({ length: sentences.length + 1 }, (_, e) => e),
    targetIds: Int32Array.from(sentences, (_, e) => e % 2),
    targetScores: new Float32Array(sentences.length).fill(1),
    targetLabels: Int32Array.from(sentences, (_, e) => e % 2),
  };
}

const [short, long, other] = [
  [5, 9, 7],
  [5, 11, 12, 13, 14, 7],
  [5, 21, 22, 7],
];
const shared = pairs([
  [short, short],
  [long, long],
  [other, other],
]);
/** The same examples, and one whose pictures have different sentences: nothing can be shared in such a batch. */
const mixed = pairs([
  [short, short],
  [long, long],
  [other, other],
  [short, other],
]);

/** The row sets and capacities with which the language encoder's embedding ran, in `use`. */
async function embedded(model: Finetuner, use: () => Promise<unknown>): Promise<Rows[]> {
  const seen: Rows[] = [];
  model.engine.observer = (op, args) => {
    if (op === 'tokenEmbeddingForward') seen.push(args[0] as Rows);
  };
  await use();
  model.engine.observer = null;
  return seen;
}

describe.each(devices)('two pictures, one sentence, on %s', (_, engine) => {
  const open = async (changes = {}): Promise<Finetuner> => {
    const model = new Finetuner({ config: { ...config, ...changes }, adam, engine, pictures: 2, loss: 'classes' });
    await model.initialize(4);
    return model;
  };

  test('without dropout the language encoder computes each sentence once, with the same logits', async () => {
    const model = await open();
    let logits = new Float32Array(0);
    const rows = await embedded(model, async () => (logits = (await model.logits(shared)) as typeof logits));
    expect(new Set(rows.map(({ set }) => set))).toEqual(new Set(['maskedObjects']));
    let apart = new Float32Array(0);
    const rowsApart = await embedded(model, async () => (apart = (await model.logits(mixed)) as typeof apart));
    expect(new Set(rowsApart.map(({ set }) => set))).toEqual(new Set(['language']));
    expect(near(logits, apart.subarray(0, logits.length), 1e-5)).toBe(true);
    await model.dispose();
  });

  test('the gradients are those of a batch that shares nothing', async () => {
    const model = await open();
    const gradientsOf = async (batch: Batch): Promise<Map<string, Float32Array>> => {
      await model.gradients([batch], options);
      const read = new Map<string, Float32Array>();
      for (const name of names) read.set(name, (await model.read('gradient', name)).slice());
      return read;
    };
    const names = model.parameters.map(({ name }) => name).filter((name) => /embeddings|encoder\.layer/.test(name));
    // The example with two sentences has no label, so it has no part in the loss.
    const unlabelled = { ...mixed, targetLabels: Int32Array.of(0, 1, 0, -1) };
    const [ours, apart] = [await gradientsOf(shared), await gradientsOf(unlabelled)];
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) expect([name, near(ours.get(name)!, apart.get(name)!, 1e-4)]).toEqual([name, true]);
    await model.dispose();
  });

  test('with dropout a training step computes the sentence of each picture, and an evaluation does not', async () => {
    const model = await open({ hiddenDropoutProb: 0.1 });
    const trained = await embedded(model, () => model.step([shared], options));
    expect(new Set(trained.map(({ set }) => set))).toEqual(new Set(['language']));
    const evaluated = await embedded(model, () => model.answer(shared));
    expect(new Set(evaluated.map(({ set }) => set))).toEqual(new Set(['maskedObjects']));
    await model.dispose();
  });
});

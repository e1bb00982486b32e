import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { benchConfig } from '../../src/bench/config.js';
import { answerFlops, pretrainFlops, rowCounts } from '../../src/bench/flops.js';
import { WorkByOp, workOf } from '../../src/bench/opWork.js';
import type { ModelConfig } from '../../src/config/modelConfig.js';
import type { Batch } from '../../src/data/batches/batch.js';
import { plainSum } from '../../src/pretrain/losses.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../support/batches.js';

/** The number of words is a multiple of 64. Otherwise products would have additional columns, which FLOPs do not count. */
const config = smallConfig({ vocabSize: 64, lLayers: 2, rLayers: 3, xLayers: 2 });
const batch = randomBatch(config, 3, { samples: 7 });

/** Multiply-adds of the forward products, counted weight by weight: the size of each weight times its number of rows. */
function forwardByWeights(c: ModelConfig, b: Batch): { products: number; ofData: number } {
  const rows = {
    language: b.tokenIds.length,
    vision: b.objectLabels.length,
    samples: b.size,
    masked: b.maskedTokenRows.length,
    maskedObjects: b.maskedObjectRows.length,
  };
  const rules: [RegExp, number][] = [
    [/^lxmert\.encoder\.layer\./, rows.language],
    [/^lxmert\.encoder\.r_layers\./, rows.vision],
    [/\.visual_attention\./, rows.language + rows.vision],
    [/\.lang_(self_att|inter|output)\./, rows.language],
    [/\.visn_(self_att|inter|output)\./, rows.vision],
    [/\.visn_fc\.(visn_fc|box_fc)\./, rows.vision],
    [/^(lxmert\.pooler|cls\.seq_relationship|answer_head)\./, rows.samples],
    [/^cls\.predictions\.transform\.|word_embeddings/, rows.masked],
    [/decoder_dict\.feat\./, rows.maskedObjects],
    [/^obj_predict_head\./, rows.vision],
    [/(position|token_type)_embeddings/, 0],
  ];
  let products = 0;
  let ofData = 0;
  for (const { name, shape } of pretrainParameters(c)) {
    if (shape.length !== 2) continue;
    const rule = rules.find(([pattern]) => pattern.test(name));
    if (!rule) throw new Error(`no rule says how many rows ${name} meets`);
    const cost = rule[1] * shape[0] * shape[1];
    products += cost;
    if (name.includes('.visn_fc.')) ofData += cost;
  }
  return { products, ofData };
}

/** Multiply-adds of attention, counted sample by sample and query by query. */
function forwardOfAttention(c: ModelConfig, b: Batch): number {
  let pairs = 0;
  for (let s = 0; s < b.size; s++) {
    const tokens = b.tokenOffsets[s + 1] - b.tokenOffsets[s];
    const objects = b.objectOffsets[s + 1] - b.objectOffsets[s];
    for (let q = 0; q < tokens; q++) pairs += c.lLayers * tokens + c.xLayers * (tokens + objects);
    for (let q = 0; q < objects; q++) pairs += c.rLayers * objects + c.xLayers * (tokens + objects);
  }
  return 2 * pairs * c.hiddenSize; // scores and context
}

describe('FLOPs of a pre-training step', () => {
  test('are equal to a count weight by weight and query by query', () => {
    const { products, ofData } = forwardByWeights(config, batch);
    // The forward pass and the gradients of both operands. Data have no gradient.
    const expected = 2 * (3 * (products + forwardOfAttention(config, batch)) - ofData);
    expect(pretrainFlops(config, rowCounts(batch))).toBe(expected);
  });

  test('are 27.0 GFLOP a sample for the base model with 12 tokens and 36 objects', () => {
    const base = benchConfig('base');
    const counts = rowCounts(benchBatch(base, { samples: 32, tokens: [8, 16], objects: 36, seed: 1 }));
    expect(Math.abs(pretrainFlops(base, counts) / 32 / 1e9 - 27.0)).toBeLessThan(0.1);
  });

  test('are equal to the FLOPs of all op calls of the engine', async () => {
    const pretrainer = new Pretrainer({
      config,
      adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 },
      engine: { device: 'cpu', threads: 1 },
    });
    try {
      const work = new WorkByOp();
      const counts = rowCounts(batch);
      await pretrainer.initialize(1);
      pretrainer.engine.observer = (op, args) => work.add(op, workOf(op, args, counts));
      await pretrainer.step([batch], { step: 0, seed: 1, learningRate: 0, weights: plainSum });
      // The product of the boxes is a part of the op objectEmbedding.
      const boxes = 2 * 2 * counts.objects * config.visualPosDim * config.hiddenSize;
      expect(work.flops).toBe(pretrainFlops(config, counts) - boxes);
    } finally {
      await pretrainer.dispose();
    }
  });
});

describe('FLOPs of answers', () => {
  test('are 8.0 GFLOP a question for the base model', () => {
    const base = benchConfig('base');
    const counts = rowCounts(benchBatch(base, { samples: 32, tokens: [8, 16], objects: 36, seed: 1 }));
    expect(Math.abs(answerFlops(base, counts) / 32 / 1e9 - 8.0)).toBeLessThan(0.1);
  });

  test('are less than the forward pass of a step, and more than a forward pass without the last layer', () => {
    const counts = rowCounts(batch);
    expect(answerFlops(config, counts)).toBeLessThan(pretrainFlops(config, counts) / 3);
    expect(answerFlops(config, counts)).toBeGreaterThan(answerFlops({ ...config, xLayers: 1 }, counts));
  });
});

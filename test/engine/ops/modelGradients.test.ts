/** Compares gradients of whole models, computed by the tape, with finite differences of their loss. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { ModelConfig } from '../../../src/config/modelConfig.js';
import type { Batch } from '../../../src/data/batches/batch.js';
import { lossNames, plainSum, type LossName, type LossWeights } from '../../../src/pretrain/losses.js';
import { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../../support/batches.js';
import { dot } from '../support/finiteDifference.js';
import { normOf } from '../support/opCase.js';
import { Rng } from '../support/rng.js';

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 };
const models: Pretrainer[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.dispose();
});

interface Setting {
  readonly config: ModelConfig;
  readonly batch: Batch;
  readonly weights: LossWeights;
}

/**
 * Random values for weights, biases and layer norms. With the usual initial values, half of the gradients would not be
 * tested.
 */
async function randomModel({ config }: Setting): Promise<Pretrainer> {
  const model = new Pretrainer({ config, adam, engine: { device: 'cpu', threads: 1 } });
  models.push(model);
  const rng = new Rng(5);
  for (const { name, shape } of model.parameters) {
    const count = shape.reduce((product, n) => product * n, 1);
    const mean = /norm.*weight|logit_fc\.2\.weight/i.test(name) ? 1 : 0;
    await model.write('parameter', name, rng.floats(count, 0.2, mean));
  }
  return model;
}

/** Look-ups of row 0 of these tables have no gradient, as in the original (their padding index). */
const typeTable = 'lxmert.embeddings.token_type_embeddings.weight';
const tables = /lxmert\.embeddings\.(word|position)_embeddings\.weight/;

/**
 * For every parameter, compares the slope of the loss in some directions: along a random half of the elements of its
 * gradient, and, if `thorough` is true, along the whole gradient. The loss is a float32 sum, so its differences contain
 * rounding errors. Steps must be so long that differences are much larger than these errors, and so short that the
 * curvature has little effect.
 */
async function wrongSlopes(setting: Setting, thorough = false): Promise<{ wrong: string[]; tried: number }> {
  const { batch, weights } = setting;
  const model = await randomModel(setting);
  const options = { step: 3, seed: 9, learningRate: 0, weights };
  const lossAt = async (): Promise<number> => {
    const tallies = await model.gradients([batch], options);
    return lossNames.reduce((total, name) => {
      const { lossSum, count } = tallies[name];
      const normalizer = ['obj', 'attr', 'feat'].includes(name) ? setting.config.visualLossNormalizer : 1;
      return total + (weights[name] * normalizer * lossSum) / Math.max(1, count);
    }, 0);
  };
  const loss = await lossAt();
  const gradients = new Map<string, Float32Array>();
  for (const { name } of model.parameters) gradients.set(name, await model.read('gradient', name));
  expect(gradients.get(typeTable)).toEqual(new Float32Array(2 * setting.config.hiddenSize));
  const largest = Math.max(...[...gradients.values()].map(normOf));
  const noise = 4e-7 * Math.abs(loss);

  const rng = new Rng(6);
  const wrong: string[] = [];
  let tried = 0;
  for (const [name, gradient] of gradients) {
    // All tokens are of type 0.
    if (name === typeTable) continue;
    const before = await model.read('parameter', name);
    const padding = tables.test(name) ? setting.config.hiddenSize : 0;
    const whole = gradient.map((g, i) => (i < padding ? 0 : g));
    const half = whole.map((g) => (rng.chance(0.5) ? g : 0));
    for (const direction of thorough ? [whole, half] : [half]) {
      const size = normOf(direction);
      // The gradient is only a rounding error, as for the bias of keys: the loss must not change in any direction.
      const along =
        size > 1e-4 * largest ? direction.map((g) => g / size) : rng.floats(gradient.length, gradient.length ** -0.5);
      const step = 0.01;
      const losses: number[] = [];
      for (const sign of [1, -1]) {
        await model.write(
          'parameter',
          name,
          before.map((w, i) => w + sign * step * along[i]),
        );
        losses.push(await lossAt());
      }
      const slope = (losses[0] - losses[1]) / (2 * step);
      const wanted = dot(gradient, along);
      tried++;
      if (!(Math.abs(slope - wanted) <= 0.01 * Math.abs(wanted) + noise / step))
        wrong.push(
          `${name}: slope ${slope.toPrecision(5)}, gradient ${wanted.toPrecision(5)}, noise ${(noise / step).toPrecision(2)}`,
        );
    }
    await model.write('parameter', name, before);
  }
  return { wrong, tried };
}

const dropoutOn = { hiddenDropoutProb: 0.2, attentionProbsDropoutProb: 0.2 };
const only = (name: LossName): LossWeights =>
  ({ ...Object.fromEntries(lossNames.map((other) => [other, other === name ? 1 : 0])) }) as unknown as LossWeights;

function settingOf(changes: Partial<ModelConfig>, weights: LossWeights, seed: number): Setting {
  const config = smallConfig({ ...dropoutOn, ...changes });
  return { config, weights, batch: randomBatch(config, seed, { samples: 4, tokens: [2, 6], objects: [2, 6] }) };
}

describe('with dropout, all six losses', () => {
  test.each([
    ['one layer each', {}],
    ['two cross-modality layers, no others', { lLayers: 0, rLayers: 0, xLayers: 2 }],
    ['two layers of each single stream', { lLayers: 2, rLayers: 2, xLayers: 1 }],
  ])('%s', async (_, changes) => {
    const { wrong, tried } = await wrongSlopes(settingOf(changes, { ...plainSum, qa: 2 }, 31), true);
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(100);
  });
});

test.each(lossNames)('with dropout, only %s', async (name) => {
  const { wrong } = await wrongSlopes(settingOf({}, only(name), 32));
  expect(wrong).toEqual([]);
});

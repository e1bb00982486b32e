import type { ModelConfig } from '../config/modelConfig.js';
import { gelu, layerNorm, linear, type Rows, type Tensor } from '../engine/index.js';
import type { Encoder } from './encoder.js';
import { linearEntries, normEntries } from './parameters.js';

/** Layers that the heads of several tasks share. */

/** `LN(gelu(W x + b))`, the first layer of the heads that predict words and objects: [rows, H] → [rows, H]. */
export function transform({ tape, weights }: Encoder, rows: Rows, x: Tensor, name: string): Tensor {
  const dense = linear(tape, rows, x, weights.linear(`${name}.dense`));
  return layerNorm(tape, rows, gelu(tape, rows, dense), weights.norm(`${name}.LayerNorm`));
}

/** The parameters of `transform`. */
export const transformEntries = (name: string, { hiddenSize }: ModelConfig) => [
  ...linearEntries(`${name}.dense`, hiddenSize, hiddenSize),
  ...normEntries(`${name}.LayerNorm`, hiddenSize),
];

const answerLayers = 'answer_head.logit_fc';

/** Answer logits, `Linear(inputs, 2H) → GELU → LN → Linear(2H, answers)`: [samples, inputs] → [samples, answers]. */
export function answerHead({ tape, weights }: Encoder, rows: Rows, pooled: Tensor): Tensor {
  const dense = linear(tape, rows, pooled, weights.linear(`${answerLayers}.0`));
  const normed = layerNorm(tape, rows, gelu(tape, rows, dense), weights.norm(`${answerLayers}.2`));
  return linear(tape, rows, normed, weights.linear(`${answerLayers}.3`));
}

/** The parameters of `answerHead`. `inputs` is H, or 2H in a model for two pictures per sentence (NLVR2). */
export const answerEntries = ({ hiddenSize }: ModelConfig, answers: number, inputs = hiddenSize) => [
  ...linearEntries(`${answerLayers}.0`, 2 * hiddenSize, inputs),
  ...normEntries(`${answerLayers}.2`, 2 * hiddenSize),
  ...linearEntries(`${answerLayers}.3`, answers, 2 * hiddenSize),
];

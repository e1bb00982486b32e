import { expectation } from '../config/issues.js';
import { modelConfigSchema, type ModelConfig } from '../config/modelConfig.js';
import type { AdamOptions } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { demandNotNegative, demandPositive, demandShare, demandUint32 } from '../numbers.js';
import { keysOf } from '../records.js';
import type { LossWeights, StepOptions } from './losses.js';

/** @throws BAD_ARGUMENT naming the field, for sizes with which no model is possible */
export function demandConfig(config: ModelConfig): void {
  // The schema has a default for every size, and a model takes each size from `config`.
  const missing = keysOf(modelConfigSchema.shape).find((name) => config[name] === undefined);
  if (missing)
    throw new LxmertError('BAD_ARGUMENT', `config.${missing} is missing; modelConfigSchema.parse fills it in`);
  const issue = modelConfigSchema.safeParse(config, { error: expectation }).error?.issues[0];
  if (issue) throw new LxmertError('BAD_ARGUMENT', `${['config', ...issue.path].join('.')}: ${issue.message}`);
}

/** @throws BAD_ARGUMENT naming the option: every option must be a number that float32 can represent */
export function demandAdam({ beta1, beta2, epsilon, weightDecay, maxGradNorm }: AdamOptions): void {
  demandShare('adam.beta1', beta1);
  demandShare('adam.beta2', beta2);
  demandPositive('adam.epsilon', epsilon);
  demandNotNegative('adam.weightDecay', weightDecay);
  demandNotNegative('adam.maxGradNorm', maxGradNorm);
}

/** @throws BAD_ARGUMENT naming the loss whose weight is missing, negative or not finite */
export function demandWeights<L extends string>(names: readonly L[], weights: LossWeights<L>): void {
  for (const name of names) demandNotNegative(`weights.${name}`, weights?.[name]);
}

/** @throws BAD_ARGUMENT naming the option */
export function demandStepOptions<L extends string>(names: readonly L[], options: StepOptions<L>): void {
  const { step, learningRate, seed, weights } = options;
  demandUint32('step', step);
  demandNotNegative('learningRate', learningRate);
  demandUint32('seed', seed);
  demandWeights(names, weights);
}

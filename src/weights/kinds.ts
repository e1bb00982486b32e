import type { ModelConfig } from '../config/modelConfig.js';
import { answerHead } from './answers.js';
import { primaryTensors } from './coverage.js';
import type { WantedTensor } from './coverage.js';
import type { WeightSource } from './source.js';

/**
 * The kind of a model: a pre-trained model with its heads, a model that answers questions, NLVR2's model (whose head
 * reads the pooled vectors of two pictures), or an encoder without heads.
 */
export type ModelKind = 'pretraining' | 'questionAnswering' | 'nlvr2' | 'encoder';

/** Returns every parameter of the pre-training model with this configuration. */
export type ParametersOf = (config: ModelConfig) => readonly WantedTensor[];

const isPretrainingHead = (name: string) => /^(cls|obj_predict_head)\./.test(name);
const isAnswerHead = (name: string) => name.startsWith('answer_head.');

export function kindOf(source: WeightSource, { hiddenSize }: ModelConfig): ModelKind {
  const names = primaryTensors(source).map(({ name }) => name);
  if (names.some(isPretrainingHead)) return 'pretraining';
  if (!names.some(isAnswerHead)) return 'encoder';
  const width = source.tensors.get('answer_head.logit_fc.0.weight')?.shape[1];
  return width === 2 * hiddenSize ? 'nlvr2' : 'questionAnswering';
}

/** The head of a parameter, by the beginning of its name. */
const headOf = (name: string) =>
  /^(cls\.\w+|obj_predict_head\.decoder_dict\.\w+|obj_predict_head|answer_head)\./.exec(name)?.[1];

/**
 * The parameters that a complete model of this kind has: the encoder, and each head of which the weights have a tensor.
 */
export function wantedOf(
  source: WeightSource,
  config: ModelConfig,
  kind: ModelKind,
  all: ParametersOf,
): WantedTensor[] {
  const present = new Set(primaryTensors(source).map(({ name }) => headOf(name)));
  const wanted = all(config).filter(({ name }) => headOf(name) === undefined || present.has(headOf(name)));
  if (kind !== 'nlvr2') return wanted;
  const width = 2 * config.hiddenSize;
  return wanted.map(({ name, shape }) =>
    name === 'answer_head.logit_fc.0.weight' ? { name, shape: [width, width] } : { name, shape },
  );
}

/** Rows of the answer head, if there is one. */
export const answerCount = (source: WeightSource): number | undefined => answerHead(source)?.bias.shape[0];

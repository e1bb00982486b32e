import type { ModelConfig } from '../config/modelConfig.js';
import { answerHead } from './answers.js';
import { primaryTensors } from './coverage.js';
import type { WantedTensor } from './coverage.js';
import type { WeightSource } from './source.js';

/**
 * What weights are of: a pre-trained model with its heads, a model that answers questions, NLVR2's model (whose head
 * takes the pooled vectors of two pictures), or an encoder alone.
 */
export type ModelKind = 'pretraining' | 'questionAnswering' | 'nlvr2' | 'encoder';

/** Every parameter of a pre-training model with a configuration. */
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

/** Heads come whole or not at all, so the first words of a name tell its head. */
const headOf = (name: string) =>
  /^(cls\.\w+|obj_predict_head\.decoder_dict\.\w+|obj_predict_head|answer_head)\./.exec(name)?.[1];

/**
 * The parameters that a whole model of these weights has: the encoder, and each head of which they have anything.
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

import { LxmertError } from '../errors.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { modelConfigSchema } from './modelConfig.js';
import type { ModelConfig } from './modelConfig.js';
import type { TaskName, VisualLossName } from './tasks.js';

/** The key in lxmert, the key in transformers, and transformers' default (`LxmertConfig`) if it differs. */
const keys: readonly (readonly [keyof ModelConfig, string, number?])[] = [
  ['vocabSize', 'vocab_size'],
  ['hiddenSize', 'hidden_size'],
  ['numAttentionHeads', 'num_attention_heads'],
  ['intermediateSize', 'intermediate_size'],
  ['lLayers', 'l_layers'],
  ['rLayers', 'r_layers'],
  ['xLayers', 'x_layers'],
  ['maxPositionEmbeddings', 'max_position_embeddings'],
  ['typeVocabSize', 'type_vocab_size'],
  ['visualFeatDim', 'visual_feat_dim'],
  ['visualPosDim', 'visual_pos_dim'],
  ['numObjectLabels', 'num_object_labels'],
  ['numAttrLabels', 'num_attr_labels'],
  ['numQaLabels', 'num_qa_labels'],
  ['hiddenDropoutProb', 'hidden_dropout_prob'],
  ['attentionProbsDropoutProb', 'attention_probs_dropout_prob'],
  ['visualLossNormalizer', 'visual_loss_normalizer', 6.67],
  ['initializerRange', 'initializer_range'],
];

/** Keys that transformers declares as floats. For them, transformers accepts `1.0` but not `1`. */
const floatKeys = new Set([
  'hidden_dropout_prob',
  'attention_probs_dropout_prob',
  'visual_loss_normalizer',
  'initializer_range',
]);

/** The tasks with which the model was trained, for transformers' `task_*` and `visual_*_loss` keys. */
export interface TrainedTasks {
  readonly on: readonly TaskName[];
  readonly visualLosses: readonly VisualLossName[];
}

/** The text of a `config.json` that transformers' `LxmertConfig` loads. */
export function toTransformersJson(
  config: ModelConfig,
  tasks?: TrainedTasks,
  architecture = 'LxmertForPreTraining',
): string {
  const on = (task: TaskName) => tasks?.on.includes(task) ?? true;
  const visual = (loss: VisualLossName) => tasks?.visualLosses.includes(loss) ?? true;
  const fields: [string, unknown][] = [
    ['architectures', [architecture]],
    ['model_type', 'lxmert'],
    ['hidden_act', 'gelu'],
    ...keys.map(([ours, theirs]): [string, unknown] => [theirs, config[ours]]),
    ['task_matched', on('matched')],
    ['task_mask_lm', on('maskedLm')],
    ['task_obj_predict', on('objects')],
    ['task_qa', on('qa')],
    ['visual_obj_loss', visual('obj')],
    ['visual_attr_loss', visual('attr')],
    ['visual_feat_loss', visual('feat')],
    ['tie_word_embeddings', true],
  ];
  const lines = fields.map(
    ([key, value]) =>
      `  ${JSON.stringify(key)}: ${floatKeys.has(key) ? float(value as number) : JSON.stringify(value)}`,
  );
  return `{\n${lines.join(',\n')}\n}\n`;
}

/**
 * Reads a `config.json` of transformers (or of a checkpoint of lxmert). Other keys than those of the model are ignored.
 * @param file the name of the source, for messages
 * @throws BAD_CONFIG naming the file and the key; UNSUPPORTED for a model that is not an LXMERT with GELU
 */
export function fromTransformersJson(text: string, file: string): ModelConfig {
  const given = parseJson(text, file, 'BAD_CONFIG');
  if (!isRecord(given)) throw new LxmertError('BAD_CONFIG', `${file}: expected a JSON object`);
  if (given.model_type !== undefined && given.model_type !== 'lxmert')
    throw new LxmertError(
      'UNSUPPORTED',
      `${file}: model_type is ${JSON.stringify(given.model_type)}; expected "lxmert"`,
    );
  if (given.hidden_act !== undefined && given.hidden_act !== 'gelu')
    throw new LxmertError(
      'UNSUPPORTED',
      `${file}: hidden_act is ${JSON.stringify(given.hidden_act)}; only "gelu" is known`,
    );
  const ours = keys.flatMap(([key, theirs, theirDefault]) => {
    const value = given[theirs] ?? theirDefault;
    return value === undefined ? [] : [[key, value]];
  });
  const result = modelConfigSchema.safeParse(Object.fromEntries(ours));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = keys.find(([name]) => name === issue.path[0])?.[1] ?? issue.path.join('.');
  throw new LxmertError('BAD_CONFIG', `${file}: ${key}: ${issue.message}; got ${JSON.stringify(given[key])}`);
}

/** A number as JSON that Python reads as a float. */
function float(value: number): string {
  const text = JSON.stringify(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

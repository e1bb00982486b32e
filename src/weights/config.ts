import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { modelConfigSchema } from '../config/modelConfig.js';
import type { ModelConfig } from '../config/modelConfig.js';
import { fromTransformersJson } from '../config/transformers.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { readTextIfThere } from './jsonFile.js';
import type { WeightSource } from './source.js';

/** The size of an attention head in the published models. It is assumed for weights without a configuration. */
const assumedHeadSize = 64;

/** The configuration of weights, and how it was found. */
export interface SourceConfig {
  readonly config: ModelConfig;
  /** Notes on the source of `config` and on assumptions. */
  readonly notes: readonly string[];
  /** The tasks for which the model was trained, if a transformers folder gives them. */
  readonly tasks?: { readonly matched: boolean; readonly maskedLm: boolean } | undefined;
}

type Sizes = Partial<Record<keyof ModelConfig, number>>;

/** For each size of the configuration, a tensor and an axis whose length is this size. */
const shownBy: readonly (readonly [keyof ModelConfig, string, number])[] = [
  ['vocabSize', 'lxmert.embeddings.word_embeddings.weight', 0],
  ['hiddenSize', 'lxmert.embeddings.word_embeddings.weight', 1],
  ['maxPositionEmbeddings', 'lxmert.embeddings.position_embeddings.weight', 0],
  ['typeVocabSize', 'lxmert.embeddings.token_type_embeddings.weight', 0],
  ['intermediateSize', 'lxmert.encoder.layer.0.intermediate.dense.weight', 0],
  ['intermediateSize', 'lxmert.encoder.x_layers.0.lang_inter.dense.weight', 0],
  ['visualFeatDim', 'lxmert.encoder.visn_fc.visn_fc.weight', 1],
  ['visualPosDim', 'lxmert.encoder.visn_fc.box_fc.weight', 1],
  ['numObjectLabels', 'obj_predict_head.decoder_dict.obj.weight', 0],
  ['numAttrLabels', 'obj_predict_head.decoder_dict.attr.weight', 0],
  ['numQaLabels', 'answer_head.logit_fc.3.weight', 0],
];

const layerKeys: readonly (readonly [keyof ModelConfig, RegExp])[] = [
  ['lLayers', /^lxmert\.encoder\.layer\.(\d{1,4})\./],
  ['rLayers', /^lxmert\.encoder\.r_layers\.(\d{1,4})\./],
  ['xLayers', /^lxmert\.encoder\.x_layers\.(\d{1,4})\./],
];

/** Largest number of layers. A configuration may claim any number, and the search for each layer uses memory. */
const maxLayers = 1000;

/** Sizes of heads. A configuration may have other values here, if it is of the same encoder. */
const headKeys = new Set<keyof ModelConfig>(['numObjectLabels', 'numAttrLabels', 'numQaLabels']);

/** Computes sizes from the shapes of tensors. */
export function sizesOf({ tensors }: Pick<WeightSource, 'tensors'>): Sizes {
  const sizes: Sizes = {};
  for (const [key, name, axis] of shownBy) {
    const size = tensors.get(name)?.shape[axis];
    if (size !== undefined) sizes[key] ??= size;
  }
  for (const [key, pattern] of layerKeys) {
    const indices = [...tensors.keys()].flatMap((name) => {
      const match = pattern.exec(name);
      return match ? [Number(match[1])] : [];
    });
    if (indices.length > 0) sizes[key] = 1 + indices.reduce((a, b) => Math.max(a, b));
  }
  return sizes;
}

/**
 * The configuration of weights: `config.json` in their folder or beside their file, compared with the shapes. If there is
 * no `config.json`, the configuration is computed from the shapes, with attention heads of 64 dimensions.
 * @param heads number of attention heads, for weights without a configuration
 * @throws BAD_CONFIG if file and shapes disagree, or a size cannot be found; UNSUPPORTED for another kind of model
 */
export async function configOf(source: WeightSource, heads?: number): Promise<SourceConfig> {
  const sizes = sizesOf(source);
  const found = await configBeside(source);
  if (found) return { ...agree(found, sizes, source.path), tasks: found.tasks };
  return fromSizes(source, sizes, heads);
}

/** The number of attention heads in the configuration beside weights; undefined if there is no configuration. */
export async function headsBeside(source: WeightSource): Promise<number | undefined> {
  const path = join(source.folder, 'config.json');
  for (const file of [path, join(source.folder, 'bert_config.json')]) {
    const text = await readTextIfThere(file);
    const value = text === undefined ? undefined : describesModel(parseJson(text, file));
    if (!value) continue;
    const heads = value.num_attention_heads;
    // A configuration beside a file may belong to other weights, so it is used only if the width is the same.
    if (typeof heads === 'number' && value.hidden_size === sizesOf(source).hiddenSize) return heads;
  }
  return undefined;
}

interface FoundConfig {
  readonly path: string;
  readonly config: ModelConfig;
  /** Whether it is the configuration of a BERT. Sizes that BERT does not have are then LXMERT's defaults. */
  readonly isBert: boolean;
  readonly tasks?: SourceConfig['tasks'];
}

async function configBeside(source: WeightSource): Promise<FoundConfig | undefined> {
  for (const name of ['config.json', 'bert_config.json']) {
    const path = join(source.folder, name);
    const text = await readTextIfThere(path);
    if (text === undefined) continue;
    const value = describesModel(parseJson(text, path));
    if (!value) {
      if (source.isFolder)
        throw new LxmertError('BAD_CONFIG', `${path}: it has no hidden_size; expected the configuration of a model`);
      continue;
    }
    const isBert = value.model_type === 'bert' || (value.model_type === undefined && value.l_layers === undefined);
    const config = fromTransformersJson(isBert ? bertAsLxmert(value) : text, path);
    const flag = (key: string) => value[key] !== false;
    return { path, config, isBert, tasks: { matched: flag('task_matched'), maskedLm: flag('task_mask_lm') } };
  }
  return undefined;
}

const describesModel = (value: unknown) => (isRecord(value) && value.hidden_size !== undefined ? value : undefined);

/** Converts BERT's configuration: its keys are those of LXMERT, except the number of layers. */
function bertAsLxmert(value: Record<string, unknown>): string {
  const layers = typeof value.num_hidden_layers === 'number' ? value.num_hidden_layers : 12;
  return JSON.stringify({ ...value, model_type: 'lxmert', l_layers: Math.min(9, layers) });
}

/** Compares the sizes in a configuration file with the sizes from the shapes. */
function agree({ path, config, isBert }: FoundConfig, sizes: Sizes, weights: string): SourceConfig {
  const notes: string[] = [];
  const own: Sizes = {};
  for (const [key] of layerKeys)
    if (config[key] > maxLayers)
      throw new LxmertError('BAD_CONFIG', `${path} says ${key} ${config[key]}; at most ${maxLayers} are read`);
  for (const [key, size] of Object.entries(sizes) as [keyof ModelConfig, number][]) {
    if (config[key] === size || (isBert && key === 'lLayers')) continue;
    if (!headKeys.has(key) && !isBert)
      throw new LxmertError(
        'BAD_CONFIG',
        `${path} says ${key} ${config[key]}, but the shapes in ${weights} say ${size}. Does it belong to other weights?`,
      );
    own[key] = size;
    if (!isBert) notes.push(`${path} says ${key} ${config[key]}; the shapes say ${size}, which is used`);
  }
  return { config: checked({ ...config, ...own }, weights), notes };
}

function checked(value: object, where: string): ModelConfig {
  const result = modelConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LxmertError('BAD_CONFIG', `${where}: ${issue.path.join('.')}: ${issue.message}`);
}

function fromSizes(source: WeightSource, sizes: Sizes, heads: number | undefined): SourceConfig {
  const missing = (['vocabSize', 'hiddenSize', 'intermediateSize'] as const).filter((key) => sizes[key] === undefined);
  if (missing.length > 0)
    throw new LxmertError(
      'BAD_CONFIG',
      `${source.path}: its shapes do not show ${missing.join(', ')}, and there is no config.json beside it`,
    );
  const hidden = sizes.hiddenSize!;
  if (heads === undefined && hidden % assumedHeadSize !== 0)
    throw new LxmertError(
      'BAD_CONFIG',
      `${source.path}: the number of attention heads cannot be told from a width of ${hidden}. ` +
        'Put its config.json beside it, or give --heads',
    );
  const numAttentionHeads = heads ?? hidden / assumedHeadSize;
  // A model may have no language or object layers. Then no tensor gives their number, so the default is 0.
  const config = checked({ lLayers: 0, rLayers: 0, ...sizes, numAttentionHeads }, source.path);
  const assumed =
    heads === undefined
      ? `heads of ${assumedHeadSize} dimensions were assumed, ${numAttentionHeads} in all`
      : `${numAttentionHeads} attention heads, as given`;
  return {
    config,
    notes: [`no config.json beside ${source.path}: sizes are those of the shapes; ${assumed}`],
  };
}

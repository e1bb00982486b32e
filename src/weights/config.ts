import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { modelConfigSchema } from '../config/modelConfig.js';
import type { ModelConfig } from '../config/modelConfig.js';
import { fromTransformersJson } from '../config/transformers.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { readTextIfThere } from './jsonFile.js';
import type { WeightSource } from './source.js';

/** Of the published models; where no configuration says otherwise, a head is as wide in all others. */
const assumedHeadSize = 64;

/** What the configuration of weights says besides sizes. */
export interface SourceConfig {
  readonly config: ModelConfig;
  /** Where `config` comes from, and what was assumed. */
  readonly notes: readonly string[];
  /** Of a transformers folder: the tasks that it says it was trained for. */
  readonly tasks?: { readonly matched: boolean; readonly maskedLm: boolean } | undefined;
}

type Sizes = Partial<Record<keyof ModelConfig, number>>;

/** A size of the configuration, a tensor that shows it, and the axis. */
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

/** More than any model has; a configuration may claim any number, and each layer takes memory to look for. */
const maxLayers = 1000;

/** Sizes of heads: a configuration of the same encoder may differ in them. */
const headKeys = new Set<keyof ModelConfig>(['numObjectLabels', 'numAttrLabels', 'numQaLabels']);

/** Sizes that the shapes of tensors show. */
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
 * The configuration of weights: `config.json` in their folder or beside their file, held against the shapes; without one
 * it comes from the shapes, with heads of 64 dimensions.
 * @param heads attention heads, for weights without a configuration
 * @throws BAD_CONFIG when the two disagree, or a size is nowhere; UNSUPPORTED for another kind of model
 */
export async function configOf(source: WeightSource, heads?: number): Promise<SourceConfig> {
  const sizes = sizesOf(source);
  const found = await configBeside(source);
  if (found) return { ...agree(found, sizes, source.path), tasks: found.tasks };
  return fromSizes(source, sizes, heads);
}

/** Attention heads that the configuration beside weights names; undefined without one. */
export async function headsBeside(source: WeightSource): Promise<number | undefined> {
  const path = join(source.folder, 'config.json');
  for (const file of [path, join(source.folder, 'bert_config.json')]) {
    const text = await readTextIfThere(file);
    const value = text === undefined ? undefined : describesModel(parseJson(text, file));
    if (!value) continue;
    const heads = value.num_attention_heads;
    // A configuration beside a file may be of other weights: it counts where the width agrees.
    if (typeof heads === 'number' && value.hidden_size === sizesOf(source).hiddenSize) return heads;
  }
  return undefined;
}

interface FoundConfig {
  readonly path: string;
  readonly config: ModelConfig;
  /** Sizes that a BERT's configuration does not have: these are LXMERT's defaults. */
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

/** A BERT's keys are LXMERT's, but for the number of layers. */
function bertAsLxmert(value: Record<string, unknown>): string {
  const layers = typeof value.num_hidden_layers === 'number' ? value.num_hidden_layers : 12;
  return JSON.stringify({ ...value, model_type: 'lxmert', l_layers: Math.min(9, layers) });
}

/** Sizes in shapes against those in a file. */
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
        `${path} says ${key} ${config[key]}, but the shapes in ${weights} say ${size}. Is it of other weights?`,
      );
    own[key] = size;
    if (!isBert) notes.push(`${path} says ${key} ${config[key]}; the shapes say ${size}, which counts`);
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
  // Language and object layers may be none at all; then there is nothing to see of them.
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

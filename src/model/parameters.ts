import type { ModelConfig } from '../config/modelConfig.js';

export interface ParameterSpec {
  /** The name in transformers' `LxmertForPreTraining`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Number of rows for which memory is reserved; default: `shape[0]`. The additional rows are zeros. */
  readonly roomRows?: number;
  /** Parameters that are trained together: one of `encoderGroups`, `pooler`, or the name of a head's group. */
  readonly group: string;
  /** Initial values as in BERT: weights N(0, initializerRange²), biases 0, layer norms 1 and 0. */
  readonly initial: 'normal' | 'zeros' | 'ones';
}

type Entry = Omit<ParameterSpec, 'group'>;

/** Weight [out, width] and bias [out] of a linear layer. */
export function linearEntries(name: string, out: number, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [out, width], initial: 'normal' },
    { name: `${name}.bias`, shape: [out], initial: 'zeros' },
  ];
}

/** Weight and bias [width] of a layer norm. */
export function normEntries(name: string, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [width], initial: 'ones' },
    { name: `${name}.bias`, shape: [width], initial: 'zeros' },
  ];
}

/**
 * Parameters of an attention. Query, key and value are adjacent, first the weights and then the biases, so that one
 * product computes all three.
 */
function attention(name: string, inner: string, hidden: number): Entry[] {
  const parts = ['query', 'key', 'value'].map((part) => linearEntries(`${name}.${inner}.${part}`, hidden, hidden));
  return [
    ...parts.map(([weight]) => weight),
    ...parts.map(([, bias]) => bias),
    ...linearEntries(`${name}.output.dense`, hidden, hidden),
    ...normEntries(`${name}.output.LayerNorm`, hidden),
  ];
}

/**
 * Number of columns of the word logits: the vocabulary, rounded up to a multiple of 64. Rows of 30,522 bfloat16 numbers
 * begin at multiples of 4 bytes, but tensor cores need 16. The parameters of the additional words are zeros.
 */
export const wordColumns = ({ vocabSize }: ModelConfig): number => 64 * Math.ceil(vocabSize / 64);

/** Entries as parameters of one group. */
export const groupOf = (group: string, entries: readonly Entry[]): ParameterSpec[] =>
  entries.map((entry) => ({ ...entry, group }));

/**
 * Groups of the encoders' parameters. `lastVision` is the vision half of the last cross-modality layer, from its
 * self-attention on. It has an effect only on the vision output, which tasks that read [CLS] do not need.
 */
export const encoderGroups = [
  'wordEmbeddings',
  'objectEmbeddings',
  'languageLayers',
  'visionLayers',
  'crossLayers',
  'lastVision',
] as const;

/** The parameters of LXMERT's three encoders and of the pooler, in the order of memory. Parameters of heads follow them. */
export function encoderParameters(config: ModelConfig): ParameterSpec[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const layer = (name: string): Entry[] => [
    ...attention(`${name}.attention`, 'self', hidden),
    ...linearEntries(`${name}.intermediate.dense`, inner, hidden),
    ...linearEntries(`${name}.output.dense`, hidden, inner),
    ...normEntries(`${name}.output.LayerNorm`, hidden),
  ];
  const crossLayer = (name: string): Entry[] => [
    ...attention(`${name}.visual_attention`, 'att', hidden),
    ...['lang', 'visn'].flatMap((stream) => [
      ...attention(`${name}.${stream}_self_att`, 'self', hidden),
      ...linearEntries(`${name}.${stream}_inter.dense`, inner, hidden),
      ...linearEntries(`${name}.${stream}_output.dense`, hidden, inner),
      ...normEntries(`${name}.${stream}_output.LayerNorm`, hidden),
    ]),
  ];
  const layers = (name: string, count: number, make: (name: string) => Entry[]): Entry[] =>
    Array.from({ length: count }, (_, i) => make(`lxmert.encoder.${name}.${i}`)).flat();
  const table = (name: string, rows: number): Entry => ({
    name: `lxmert.embeddings.${name}.weight`,
    shape: [rows, hidden],
    initial: 'normal',
  });
  const cross = layers('x_layers', config.xLayers, crossLayer);
  const isLastVision = ({ name }: Entry): boolean => name.includes(`x_layers.${config.xLayers - 1}.visn_`);
  const entries: Readonly<Record<(typeof encoderGroups)[number], Entry[]>> = {
    wordEmbeddings: [
      { ...table('word_embeddings', config.vocabSize), roomRows: wordColumns(config) },
      table('position_embeddings', config.maxPositionEmbeddings),
      table('token_type_embeddings', config.typeVocabSize),
      ...normEntries('lxmert.embeddings.LayerNorm', hidden),
    ],
    objectEmbeddings: [
      ...linearEntries('lxmert.encoder.visn_fc.visn_fc', hidden, config.visualFeatDim),
      ...normEntries('lxmert.encoder.visn_fc.visn_layer_norm', hidden),
      ...linearEntries('lxmert.encoder.visn_fc.box_fc', hidden, config.visualPosDim),
      ...normEntries('lxmert.encoder.visn_fc.box_layer_norm', hidden),
    ],
    languageLayers: layers('layer', config.lLayers, layer),
    visionLayers: layers('r_layers', config.rLayers, layer),
    crossLayers: cross.filter((entry) => !isLastVision(entry)),
    lastVision: cross.filter(isLastVision),
  };
  return [
    ...encoderGroups.flatMap((group) => groupOf(group, entries[group])),
    ...groupOf('pooler', linearEntries('lxmert.pooler.dense', hidden, hidden)),
  ];
}

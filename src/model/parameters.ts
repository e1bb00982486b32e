import type { ModelConfig } from '../config/modelConfig.js';

/** The losses that train a parameter: all of them for the encoders, its own for a head. */
export type ParameterGroup = 'encoder' | 'pooler' | 'maskedLm' | 'matched' | 'objects' | 'obj' | 'attr' | 'feat' | 'qa';

export interface ParameterSpec {
  /** The name in transformers' `LxmertForPreTraining`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Rows for which there is memory; default its own. The additional rows are zeros. */
  readonly roomRows?: number;
  readonly group: ParameterGroup;
  /** BERT's initialization: weights N(0, initializerRange²), biases 0, layer norms 1 and 0. */
  readonly initial: 'normal' | 'zeros' | 'ones';
}

type Entry = Omit<ParameterSpec, 'group'>;

function linear(name: string, out: number, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [out, width], initial: 'normal' },
    { name: `${name}.bias`, shape: [out], initial: 'zeros' },
  ];
}

function norm(name: string, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [width], initial: 'ones' },
    { name: `${name}.bias`, shape: [width], initial: 'zeros' },
  ];
}

/** Query, key and value are adjacent, all weights before all biases, so that one product computes all three. */
function attention(name: string, inner: string, hidden: number): Entry[] {
  const parts = ['query', 'key', 'value'].map((part) => linear(`${name}.${inner}.${part}`, hidden, hidden));
  return [
    ...parts.map(([weight]) => weight),
    ...parts.map(([, bias]) => bias),
    ...linear(`${name}.output.dense`, hidden, hidden),
    ...norm(`${name}.output.LayerNorm`, hidden),
  ];
}

/**
 * Number of columns of the word logits: the vocabulary, rounded up to a multiple of 64. Rows of 30,522 bfloat16 numbers
 * begin at multiples of 4 bytes, but tensor cores need 16. The parameters of the additional words are zeros.
 */
export const wordColumns = ({ vocabSize }: ModelConfig): number => 64 * Math.ceil(vocabSize / 64);

/**
 * Every parameter in the order of the arena. The decoder of the masked-LM head is the word-embedding table, as in BERT,
 * so it has no entry of its own.
 */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const layer = (name: string): Entry[] => [
    ...attention(`${name}.attention`, 'self', hidden),
    ...linear(`${name}.intermediate.dense`, inner, hidden),
    ...linear(`${name}.output.dense`, hidden, inner),
    ...norm(`${name}.output.LayerNorm`, hidden),
  ];
  const crossLayer = (name: string): Entry[] => [
    ...attention(`${name}.visual_attention`, 'att', hidden),
    ...['lang', 'visn'].flatMap((stream) => [
      ...attention(`${name}.${stream}_self_att`, 'self', hidden),
      ...linear(`${name}.${stream}_inter.dense`, inner, hidden),
      ...linear(`${name}.${stream}_output.dense`, hidden, inner),
      ...norm(`${name}.${stream}_output.LayerNorm`, hidden),
    ]),
  ];
  const layers = (name: string, count: number, make: (name: string) => Entry[]): Entry[] =>
    Array.from({ length: count }, (_, i) => make(`lxmert.encoder.${name}.${i}`)).flat();
  const table = (name: string, rows: number): Entry => ({
    name: `lxmert.embeddings.${name}.weight`,
    shape: [rows, hidden],
    initial: 'normal',
  });
  const groups: [ParameterGroup, Entry[]][] = [
    [
      'encoder',
      [
        { ...table('word_embeddings', config.vocabSize), roomRows: wordColumns(config) },
        table('position_embeddings', config.maxPositionEmbeddings),
        table('token_type_embeddings', config.typeVocabSize),
        ...norm('lxmert.embeddings.LayerNorm', hidden),
        ...linear('lxmert.encoder.visn_fc.visn_fc', hidden, config.visualFeatDim),
        ...norm('lxmert.encoder.visn_fc.visn_layer_norm', hidden),
        ...linear('lxmert.encoder.visn_fc.box_fc', hidden, config.visualPosDim),
        ...norm('lxmert.encoder.visn_fc.box_layer_norm', hidden),
        ...layers('layer', config.lLayers, layer),
        ...layers('r_layers', config.rLayers, layer),
        ...layers('x_layers', config.xLayers, crossLayer),
      ],
    ],
    ['pooler', linear('lxmert.pooler.dense', hidden, hidden)],
    [
      'maskedLm',
      [
        ...linear('cls.predictions.transform.dense', hidden, hidden),
        ...norm('cls.predictions.transform.LayerNorm', hidden),
        {
          name: 'cls.predictions.bias',
          shape: [config.vocabSize],
          roomRows: wordColumns(config),
          initial: 'zeros',
        },
      ],
    ],
    ['matched', linear('cls.seq_relationship', 2, hidden)],
    [
      'objects',
      [
        ...linear('obj_predict_head.transform.dense', hidden, hidden),
        ...norm('obj_predict_head.transform.LayerNorm', hidden),
      ],
    ],
    ['obj', linear('obj_predict_head.decoder_dict.obj', config.numObjectLabels, hidden)],
    ['attr', linear('obj_predict_head.decoder_dict.attr', config.numAttrLabels, hidden)],
    ['feat', linear('obj_predict_head.decoder_dict.feat', config.visualFeatDim, hidden)],
    [
      'qa',
      [
        ...linear('answer_head.logit_fc.0', 2 * hidden, hidden),
        ...norm('answer_head.logit_fc.2', 2 * hidden),
        ...linear('answer_head.logit_fc.3', config.numQaLabels, 2 * hidden),
      ],
    ],
  ];
  return groups.flatMap(([group, entries]) => entries.map((entry) => ({ ...entry, group })));
}

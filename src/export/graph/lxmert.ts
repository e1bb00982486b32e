import type { Value } from '../../formats/onnxBuilder.js';
import { objectEmbeddings, sentenceEmbeddings } from './embeddings.js';
import {
  crossModalityLayer,
  lastLayerFirstRows,
  singleModalityLayer,
  type BothStates,
  type States,
} from './encoder.js';
import { linear } from './layers.js';
import { input, type ModelGraph } from './modelGraph.js';
import { joinPictures, maskForPictures, rowsForPictures, streamOf } from './streams.js';

/** The inputs of the graph; transformers' models have the same names. */
export const inputNames = [
  'input_ids',
  'attention_mask',
  'token_type_ids',
  'visual_feats',
  'visual_pos',
  'visual_attention_mask',
] as const;

/**
 * The inputs, and both single-modality encoders.
 * @param pictures pictures of one sentence. For two, the inputs of the objects have an axis of 2 after the batch, and
 *   the streams have two samples for each sentence
 */
export function singleModalityEncoders(m: ModelGraph, pictures: 1 | 2): BothStates {
  const sentence = ['batch', 'tokens'];
  const objects = pictures === 1 ? ['batch', 'objects'] : ['batch', 2, 'objects'];
  const ids = input(m, 'input_ids', 'int64', sentence);
  const words = input(m, 'attention_mask', 'int64', sentence);
  const types = input(m, 'token_type_ids', 'int64', sentence);
  const features = input(m, 'visual_feats', 'float32', [...objects, m.config.visualFeatDim]);
  const boxes = input(m, 'visual_pos', 'float32', [...objects, m.config.visualPosDim]);
  const real = input(m, 'visual_attention_mask', 'int64', objects);

  const embedded = { rows: sentenceEmbeddings(m, ids, types), stream: streamOf(m, words) };
  const language = layers(m, embedded, 'layer', m.config.lLayers);
  const seen = {
    rows: objectEmbeddings(m, features, boxes),
    stream: streamOf(m, pictures === 1 ? real : joinPictures(m, real)),
  };
  const vision = layers(m, seen, 'r_layers', m.config.rLayers);
  if (pictures === 1) return { language, vision };
  const rows = rowsForPictures(m, language.rows, language.stream);
  return { language: { rows, stream: streamOf(m, maskForPictures(m, words)) }, vision };
}

function layers(m: ModelGraph, embedded: States, name: string, count: number): States {
  let states = embedded;
  for (let i = 0; i < count; i++) states = singleModalityLayer(m, states, `lxmert.encoder.${name}.${i}`);
  return states;
}

/** The first `count` cross-modality layers. */
function crossLayers(m: ModelGraph, single: BothStates, count: number): BothStates {
  let states = single;
  for (let i = 0; i < count; i++) states = crossModalityLayer(m, states, i);
  return states;
}

/** LXMERT's three encoders (Tan & Bansal 2019, section 2.2). */
export const lxmert = (m: ModelGraph): BothStates => crossLayers(m, singleModalityEncoders(m, 1), m.config.xLayers);

/** LXMERT's encoders, if only [CLS] is needed, the first row of each sentence: [samples, H]. */
export function lxmertFirstRows(m: ModelGraph, pictures: 1 | 2): Value {
  const last = m.config.xLayers - 1;
  return lastLayerFirstRows(m, crossLayers(m, singleModalityEncoders(m, pictures), last), last);
}

/** `tanh(W h_[CLS] + b)` of each sample: [samples, H] → [samples, H]. */
export const pooler = (m: ModelGraph, first: Value): Value => m.g.op('Tanh', [linear(m, first, 'lxmert.pooler.dense')]);

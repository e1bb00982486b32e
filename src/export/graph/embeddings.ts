import { int } from '../../formats/onnxBuilder.js';
import type { Value } from '../../formats/onnxBuilder.js';
import { layerNorm, linear } from './layers.js';
import { number, toReal, type ModelGraph } from './modelGraph.js';
import { rowsOf } from './streams.js';

/**
 * Word-level sentence embeddings (LXMERT, section 2.1): `LN(word[id] + position[p] + type[t])`.
 * @param ids [samples, tokens] of int64
 * @param types [samples, tokens] of int64
 * @returns [samples × tokens, H]
 */
export function sentenceEmbeddings(m: ModelGraph, ids: Value, types: Value): Value {
  const { g, weight, config } = m;
  const name = 'lxmert.embeddings';
  const rows = (table: string, of: Value): Value =>
    g.op('Gather', [weight(`${name}.${table}.weight`), of], { axis: int(0) });
  const length = g.op('Slice', [g.op('Shape', [ids]), g.ints([1]), g.ints([2])]);
  const positions = g.op('Slice', [weight(`${name}.position_embeddings.weight`), g.ints([0]), length, g.ints([0])]);
  const words = g.op('Add', [rows('word_embeddings', ids), rows('token_type_embeddings', types)]);
  return rowsOf(m, layerNorm(m, g.op('Add', [words, positions]), `${name}.LayerNorm`), config.hiddenSize);
}

/**
 * Object-level image embeddings (LXMERT, section 2.1): `(LN(W_f f + b_f) + LN(W_b box + b_b)) / 2`.
 * @param features [samples, objects, visualFeatDim] of float32
 * @param boxes [samples, objects, 4] of float32
 * @returns [samples × objects, H]
 */
export function objectEmbeddings(m: ModelGraph, features: Value, boxes: Value): Value {
  const { g, config } = m;
  const name = 'lxmert.encoder.visn_fc';
  const embed = (values: Value, width: number, layer: string, norm: string): Value =>
    layerNorm(m, linear(m, toReal(m, rowsOf(m, values, width)), `${name}.${layer}`), `${name}.${norm}`);
  const feature = embed(features, config.visualFeatDim, 'visn_fc', 'visn_layer_norm');
  const box = embed(boxes, config.visualPosDim, 'box_fc', 'box_layer_norm');
  return g.op('Mul', [g.op('Add', [feature, box]), number(m, 0.5)]);
}

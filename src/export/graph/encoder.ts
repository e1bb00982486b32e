import { int, ints } from '../../formats/onnxBuilder.js';
import type { Value } from '../../formats/onnxBuilder.js';
import { addAndNorm, gelu, linear } from './layers.js';
import { number, type ModelGraph } from './modelGraph.js';
import { firstRows, headsOf, keysOf, oneRowByHead, rowsOf, type Stream } from './streams.js';

/** The hidden states of a stream, [rows, H]. */
export interface States {
  readonly rows: Value;
  readonly stream: Stream;
}

/** The hidden states of both streams. */
export interface BothStates {
  readonly language: States;
  readonly vision: States;
}

/** Rows that attend: [rows, H], and the shape of these rows by head. */
interface Queries {
  readonly rows: Value;
  readonly byHead: Value;
}

/** `softmax(Q Kᵀ / √d + mask) V` of each head, before the output projection: [rows of the queries, H]. */
function attention(m: ModelGraph, queries: Queries, keys: States, name: string): Value {
  const { g, config } = m;
  const scale = 1 / Math.sqrt(config.hiddenSize / config.numAttentionHeads);
  const { byHead, mask } = keys.stream;
  const query = g.op('Mul', [linear(m, queries.rows, `${name}.query`), number(m, scale)]);
  const scores = g.op('MatMul', [
    headsOf(m, query, queries.byHead),
    keysOf(m, linear(m, keys.rows, `${name}.key`), byHead),
  ]);
  const probabilities = g.op('Softmax', [g.op('Add', [scores, mask])], { axis: int(-1) });
  const context = g.op('MatMul', [probabilities, headsOf(m, linear(m, keys.rows, `${name}.value`), byHead)]);
  return rowsOf(m, g.op('Transpose', [context], { perm: ints(0, 2, 1, 3) }), config.hiddenSize);
}

/** Names of a layer's parts. In transformers the cross-modality layers have other names. */
interface LayerNames {
  readonly attention: string;
  readonly intermediate: string;
  readonly output: string;
}

/** The end of each attention sub-layer: output projection, residual connection and layer norm. */
const attentionOutput = (m: ModelGraph, x: Value, context: Value, name: string): Value =>
  addAndNorm(m, x, linear(m, context, `${name}.output.dense`), `${name}.output.LayerNorm`);

/** The feed-forward sub-layer, with residual connection and layer norm. */
function feedForwardLayer(m: ModelGraph, x: Value, names: LayerNames): Value {
  const fed = linear(m, gelu(m, linear(m, x, `${names.intermediate}.dense`)), `${names.output}.dense`);
  return addAndNorm(m, x, fed, `${names.output}.LayerNorm`);
}

/** Self-attention and feed-forward of the queries, which are rows of `states` or all of them. */
function selfLayer(m: ModelGraph, queries: Queries, states: States, names: LayerNames): Value {
  const context = attention(m, queries, states, `${names.attention}.self`);
  return feedForwardLayer(m, attentionOutput(m, queries.rows, context, names.attention), names);
}

const allOf = ({ rows, stream }: States): Queries => ({ rows, byHead: stream.byHead });

/** A layer of the language or the object-relationship encoder (LXMERT, section 2.2, single-modality encoders). */
export function singleModalityLayer(m: ModelGraph, states: States, name: string): States {
  const names = { attention: `${name}.attention`, intermediate: `${name}.intermediate`, output: `${name}.output` };
  return { ...states, rows: selfLayer(m, allOf(states), states, names) };
}

const layerName = (index: number): string => `lxmert.encoder.x_layers.${index}`;

/** Names of one stream's part of a cross-modality layer. */
const streamNames = (index: number, short: 'lang' | 'visn'): LayerNames => ({
  attention: `${layerName(index)}.${short}_self_att`,
  intermediate: `${layerName(index)}.${short}_inter`,
  output: `${layerName(index)}.${short}_output`,
});

/** Cross-attention of one stream to the other, with residual connection and layer norm. Both directions share the weights. */
function crossAttention(m: ModelGraph, from: States, to: States, index: number): States {
  const name = `${layerName(index)}.visual_attention`;
  const context = attention(m, allOf(from), to, `${name}.att`);
  return { ...from, rows: attentionOutput(m, from.rows, context, name) };
}

/** A cross-modality layer (LXMERT, section 2.2): cross-attention, then self-attention and feed-forward of each stream. */
export function crossModalityLayer(m: ModelGraph, { language, vision }: BothStates, index: number): BothStates {
  const crossed = {
    language: crossAttention(m, language, vision, index),
    vision: crossAttention(m, vision, language, index),
  };
  const own = (states: States, short: 'lang' | 'visn'): States => ({
    ...states,
    rows: selfLayer(m, allOf(states), states, streamNames(index, short)),
  });
  return { language: own(crossed.language, 'lang'), vision: own(crossed.vision, 'visn') };
}

/**
 * The last cross-modality layer, if only [CLS] is needed, the first row of each sentence: [samples, H]. It leaves out the
 * vision stream's half, and everything after attention for the other words.
 */
export function lastLayerFirstRows(m: ModelGraph, { language, vision }: BothStates, index: number): Value {
  const crossed = crossAttention(m, language, vision, index);
  const queries = {
    rows: firstRows(m, crossed.rows, crossed.stream),
    byHead: oneRowByHead(m, crossed.stream),
  };
  return selfLayer(m, queries, crossed, streamNames(index, 'lang'));
}

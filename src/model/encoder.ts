import type { ModelConfig } from '../config/modelConfig.js';
import {
  crossAttention,
  feedForward,
  gatherRows,
  linear,
  packedAttention,
  residualDropoutLayerNorm,
  rowBlock,
  type Rows,
  type SampleRows,
  type Tape,
  type Tensor,
} from '../engine/index.js';
import type { ModelInputs, SentenceInputs } from './inputs.js';
import type { ModelWeights } from './weights.js';

/** The requested attention maps, by the names of the parity fixtures: tensors [samples, heads, longest, longest]. */
export type AttentionMaps = ReadonlyMap<string, Tensor>;

/** A set of rows, with the dropout key of each. */
interface RowsOf {
  readonly rows: Rows;
  readonly rowIds: Tensor;
}

/** The rows of one stream, and where its samples begin. */
export interface Stream extends RowsOf {
  readonly samples: SampleRows;
}

export interface Encoder {
  readonly tape: Tape;
  readonly weights: ModelWeights;
  readonly config: ModelConfig;
  readonly maps?: AttentionMaps | undefined;
  /** The gradients of these maps. The backward pass writes them. */
  readonly mapGradients?: AttentionMaps | undefined;
}

export function languageStream(inputs: ModelInputs): Stream {
  const rows = inputs.language;
  return { rows, samples: inputs.tokens, rowIds: rowBlock(inputs.rowIds, 0, rows.capacity) };
}

/** The stream of sentences that are computed once for all pictures of an example. */
export function sentenceStream({ rows, tokens, rowIds }: SentenceInputs): Stream {
  return { rows, samples: tokens, rowIds };
}

export function visionStream(inputs: ModelInputs): Stream {
  const rows = inputs.vision;
  return {
    rows,
    samples: inputs.objects,
    rowIds: rowBlock(inputs.rowIds, inputs.stacked.split, rows.capacity),
  };
}

/** Names of a layer's parts. In transformers the cross-modality layers have other names. */
interface LayerNames {
  readonly attention: string;
  readonly intermediate: string;
  readonly output: string;
  readonly map: string;
}

/** The maps of these names, if all of them are requested. */
function tensorsOf(maps: AttentionMaps | undefined, ...names: readonly string[]): Tensor[] | undefined {
  const found = names.flatMap((name) => maps?.get(name) ?? []);
  return found.length === names.length ? found : undefined;
}

/** Attention among the rows of each sample, before its output projection: [rows, H] → [rows, H]. */
function selfAttention(encoder: Encoder, stream: Stream, x: Tensor, names: LayerNames): Tensor {
  const { tape, weights, config, maps, mapGradients } = encoder;
  const qkv = linear(tape, stream.rows, x, weights.qkv(`${names.attention}.self`));
  return packedAttention(tape, stream.rows, qkv, stream.samples, {
    heads: config.numAttentionHeads,
    dropout: config.attentionProbsDropoutProb,
    rowIds: stream.rowIds,
    probabilities: tensorsOf(maps, names.map),
    gradients: tensorsOf(mapGradients, names.map),
  });
}

/** The end of each attention sub-layer: output projection, residual connection and layer norm. */
function attentionOutput(encoder: Encoder, stream: RowsOf, x: Tensor, context: Tensor, name: string): Tensor {
  const { tape, weights, config } = encoder;
  const attended = linear(tape, stream.rows, context, weights.linear(`${name}.output.dense`));
  return residualDropoutLayerNorm(tape, stream.rows, x, attended, weights.norm(`${name}.output.LayerNorm`), {
    dropout: config.hiddenDropoutProb,
    rowIds: stream.rowIds,
  });
}

/** The feed-forward sub-layer, with residual connection and layer norm. */
function feedForwardLayer(encoder: Encoder, stream: RowsOf, x: Tensor, names: LayerNames, out?: Tensor): Tensor {
  const { tape, weights, config } = encoder;
  const fed = feedForward(tape, stream.rows, x, {
    intermediate: weights.linear(`${names.intermediate}.dense`),
    output: weights.linear(`${names.output}.dense`),
  });
  return residualDropoutLayerNorm(tape, stream.rows, x, fed, weights.norm(`${names.output}.LayerNorm`), {
    dropout: config.hiddenDropoutProb,
    rowIds: stream.rowIds,
    out,
  });
}

/** One self-attention and one feed-forward sub-layer. */
function selfLayer(encoder: Encoder, stream: Stream, x: Tensor, names: LayerNames, out?: Tensor): Tensor {
  const context = selfAttention(encoder, stream, x, names);
  const middle = attentionOutput(encoder, stream, x, context, names.attention);
  return feedForwardLayer(encoder, stream, middle, names, out);
}

/** A layer of the language or the object-relationship encoder (LXMERT, section 2.2, single-modality encoders). */
export function singleModalityLayer(
  encoder: Encoder,
  stream: Stream,
  x: Tensor,
  name: string,
  map: string,
  out?: Tensor,
): Tensor {
  const names = { attention: `${name}.attention`, intermediate: `${name}.intermediate`, output: `${name}.output`, map };
  return selfLayer(encoder, stream, x, names, out);
}

/** Names of one stream's part of a cross-modality layer. */
function streamNames(layer: string, short: 'lang' | 'visn', map: string): LayerNames {
  return {
    attention: `${layer}.${short}_self_att`,
    intermediate: `${layer}.${short}_inter`,
    output: `${layer}.${short}_output`,
    map,
  };
}

/** Cross-attention in both directions, before its output projection: stacked rows [rows, H] → [rows, H]. */
function bothCrossAttentions(encoder: Encoder, inputs: ModelInputs, x: Tensor, name: string, index: number): Tensor {
  const { tape, weights, config, maps, mapGradients } = encoder;
  const names = [`cross_lang_to_vision.${index}`, `cross_vision_to_lang.${index}`];
  const qkv = linear(tape, inputs.stacked, x, weights.qkv(`${name}.att`));
  return crossAttention(tape, inputs.stacked, qkv, inputs.tokens, inputs.objects, {
    heads: config.numAttentionHeads,
    dropout: config.attentionProbsDropoutProb,
    rowIds: inputs.rowIds,
    probabilities: tensorsOf(maps, ...names),
    gradients: tensorsOf(mapGradients, ...names),
  });
}

/**
 * A cross-modality layer (LXMERT, section 2.2): one cross-attention sub-layer, whose weights both directions share,
 * then self-attention and feed-forward of each stream; both streams run at the same time. Input and output are stacked
 * rows of both streams.
 */
export function crossModalityLayer(encoder: Encoder, inputs: ModelInputs, x: Tensor, index: number): Tensor {
  const { tape } = encoder;
  const layer = `lxmert.encoder.x_layers.${index}`;
  const cross = `${layer}.visual_attention`;
  const { stacked } = inputs;
  const context = bothCrossAttentions(encoder, inputs, x, cross, index);
  const crossed = attentionOutput(encoder, { rows: stacked, rowIds: inputs.rowIds }, x, context, cross);

  const out = tape.buffer(x.shape);
  const ownLayer = (short: 'lang' | 'visn', modality: string, stream: Stream, first: number) => (): Tensor => {
    const block = (of: Tensor): Tensor => rowBlock(of, first, stream.rows.capacity);
    const names = streamNames(layer, short, `cross_self_${modality}.${index}`);
    return selfLayer(encoder, stream, block(crossed), names, block(out));
  };
  tape.beside(
    ownLayer('lang', 'language', languageStream(inputs), 0),
    ownLayer('visn', 'vision', visionStream(inputs), stacked.split),
  );
  return out;
}

/**
 * The last cross-modality layer, if only [CLS] is needed. The output is the first row of each sentence: [samples, H].
 * The half of the vision stream is not computed, and the part after attention is computed only for [CLS]. The result
 * for [CLS] is the same.
 */
export function lastLayerFirstRows(encoder: Encoder, inputs: ModelInputs, x: Tensor, index: number): Tensor {
  const { tape } = encoder;
  const layer = `lxmert.encoder.x_layers.${index}`;
  const cross = `${layer}.visual_attention`;
  const names = streamNames(layer, 'lang', `cross_self_language.${index}`);
  const language = languageStream(inputs);
  const block = (of: Tensor): Tensor => rowBlock(of, 0, language.rows.capacity);
  const context = bothCrossAttentions(encoder, inputs, x, cross, index);
  const crossed = attentionOutput(encoder, language, block(x), block(context), cross);

  const samples = { rows: inputs.samples, rowIds: inputs.firstRowIds };
  const firstRows = (of: Tensor): Tensor => gatherRows(tape, inputs.samples, of, inputs.tokens.offsets);
  const attended = firstRows(selfAttention(encoder, language, crossed, names));
  const middle = attentionOutput(encoder, samples, firstRows(crossed), attended, names.attention);
  return feedForwardLayer(encoder, samples, middle, names);
}

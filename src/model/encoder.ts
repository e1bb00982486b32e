import type { ModelConfig } from '../config/modelConfig.js';
import {
  crossAttention,
  feedForward,
  linear,
  packedAttention,
  residualDropoutLayerNorm,
  rowBlock,
  type Rows,
  type Tape,
  type Tensor,
} from '../engine/index.js';
import type { ModelInputs } from './inputs.js';
import type { ModelWeights } from './weights.js';

/** Attention maps asked for, by name (as the parity fixtures name them); tensors [samples, heads, longest, longest]. */
export type AttentionMaps = ReadonlyMap<string, Tensor>;

/** The rows of one stream: which they are, where its samples begin, who each row is. */
export interface Stream {
  readonly rows: Rows;
  readonly offsets: Tensor;
  readonly rowIds: Tensor;
}

export interface Encoder {
  readonly tape: Tape;
  readonly weights: ModelWeights;
  readonly config: ModelConfig;
  readonly maps?: AttentionMaps | undefined;
}

export function languageStream(inputs: ModelInputs): Stream {
  const rows = inputs.language;
  return { rows, offsets: inputs.tokenOffsets, rowIds: rowBlock(inputs.rowIds, 0, rows.capacity) };
}

export function visionStream(inputs: ModelInputs): Stream {
  const rows = inputs.vision;
  return {
    rows,
    offsets: inputs.objectOffsets,
    rowIds: rowBlock(inputs.rowIds, inputs.stacked.split, rows.capacity),
  };
}

/** Names of a layer's parts: transformers gives those of the cross-modality layers other names. */
interface LayerNames {
  readonly attention: string;
  readonly intermediate: string;
  readonly output: string;
  readonly map: string;
}

/** One self-attention and one feed-forward sub-layer, each in a residual connection with layer norm after it. */
function selfLayer(encoder: Encoder, stream: Stream, x: Tensor, names: LayerNames, out?: Tensor): Tensor {
  const { tape, weights, config, maps } = encoder;
  const { rows, rowIds } = stream;
  const dropout = config.hiddenDropoutProb;
  const map = maps?.get(names.map);
  const qkv = linear(tape, rows, x, weights.qkv(`${names.attention}.self`));
  const context = packedAttention(tape, rows, qkv, stream.offsets, {
    heads: config.numAttentionHeads,
    dropout: config.attentionProbsDropoutProb,
    rowIds,
    ...(map && { probabilities: [map] }),
  });
  const attended = linear(tape, rows, context, weights.linear(`${names.attention}.output.dense`));
  const middle = residualDropoutLayerNorm(
    tape,
    rows,
    x,
    attended,
    weights.norm(`${names.attention}.output.LayerNorm`),
    {
      dropout,
      rowIds,
    },
  );
  const fed = feedForward(tape, rows, middle, {
    intermediate: weights.linear(`${names.intermediate}.dense`),
    output: weights.linear(`${names.output}.dense`),
  });
  return residualDropoutLayerNorm(tape, rows, middle, fed, weights.norm(`${names.output}.LayerNorm`), {
    dropout,
    rowIds,
    ...(out && { out }),
  });
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

/**
 * A cross-modality layer (LXMERT, section 2.2): one cross-attention sub-layer whose weights both directions share, then
 * self-attention and feed-forward of each stream. Both streams are rows of one stacked tensor, in and out.
 */
export function crossModalityLayer(encoder: Encoder, inputs: ModelInputs, x: Tensor, index: number): Tensor {
  const { tape, weights, config, maps } = encoder;
  const name = `lxmert.encoder.x_layers.${index}`;
  const rows = inputs.stacked;
  const cross = `${name}.visual_attention`;
  const languageMap = maps?.get(`cross_lang_to_vision.${index}`);
  const visionMap = maps?.get(`cross_vision_to_lang.${index}`);

  const qkv = linear(tape, rows, x, weights.qkv(`${cross}.att`));
  const context = crossAttention(tape, rows, qkv, inputs.tokenOffsets, inputs.objectOffsets, {
    heads: config.numAttentionHeads,
    dropout: config.attentionProbsDropoutProb,
    rowIds: inputs.rowIds,
    ...(languageMap && visionMap && { probabilities: [languageMap, visionMap] }),
  });
  const attended = linear(tape, rows, context, weights.linear(`${cross}.output.dense`));
  const crossed = residualDropoutLayerNorm(tape, rows, x, attended, weights.norm(`${cross}.output.LayerNorm`), {
    dropout: config.hiddenDropoutProb,
    rowIds: inputs.rowIds,
  });

  const out = tape.buffer(x.shape);
  for (const [short, modality, stream] of [
    ['lang', 'language', languageStream(inputs)],
    ['visn', 'vision', visionStream(inputs)],
  ] as const) {
    const first = short === 'lang' ? 0 : rows.split;
    const block = rowBlock(crossed, first, stream.rows.capacity);
    const names = {
      attention: `${name}.${short}_self_att`,
      intermediate: `${name}.${short}_inter`,
      output: `${name}.${short}_output`,
      map: `cross_self_${modality}.${index}`,
    };
    selfLayer(encoder, stream, block, names, rowBlock(out, first, stream.rows.capacity));
  }
  return out;
}

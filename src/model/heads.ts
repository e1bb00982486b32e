import { gatherRows, gelu, layerNorm, linear, type Rows, type Tensor } from '../engine/index.js';
import type { Encoder } from './encoder.js';

/** `LN(gelu(W x + b))`, with which two of the heads begin: [rows, H] → [rows, H]. */
function transform({ tape, weights }: Encoder, rows: Rows, x: Tensor, name: string): Tensor {
  const dense = linear(tape, rows, x, weights.linear(`${name}.dense`));
  return layerNorm(tape, rows, gelu(tape, rows, dense), weights.norm(`${name}.LayerNorm`));
}

/**
 * Word logits at the given rows of the language output. The decoder is the word-embedding table: [rows, vocabSize],
 * followed by zeros up to a multiple of 64 columns.
 */
export function maskedLmHead(encoder: Encoder, language: Tensor, rows: Rows, at: Tensor): Tensor {
  const { tape, weights } = encoder;
  const masked = gatherRows(tape, rows, language, at);
  return linear(tape, rows, transform(encoder, rows, masked, 'cls.predictions.transform'), weights.wordDecoder());
}

/** Logits of whether sentence and image belong together: [samples, 2]; class 1 is yes. */
export function matchingHead({ tape, weights }: Encoder, rows: Rows, pooled: Tensor): Tensor {
  return linear(tape, rows, pooled, weights.linear('cls.seq_relationship'));
}

/** The transform that the three object predictions share: [vision rows, H]. */
export function objectTransform(encoder: Encoder, rows: Rows, vision: Tensor): Tensor {
  return transform(encoder, rows, vision, 'obj_predict_head.transform');
}

/** Logits of an object's class or attribute, or its regressed feature, from its transformed row. */
export function objectDecoder(
  { tape, weights }: Encoder,
  rows: Rows,
  x: Tensor,
  kind: 'obj' | 'attr' | 'feat',
): Tensor {
  return linear(tape, rows, x, weights.linear(`obj_predict_head.decoder_dict.${kind}`));
}

/** Answer logits, `Linear(H, 2H) → GELU → LN → Linear`: [samples, numQaLabels]. */
export function answerHead({ tape, weights }: Encoder, rows: Rows, pooled: Tensor): Tensor {
  const dense = linear(tape, rows, pooled, weights.linear('answer_head.logit_fc.0'));
  const normed = layerNorm(tape, rows, gelu(tape, rows, dense), weights.norm('answer_head.logit_fc.2'));
  return linear(tape, rows, normed, weights.linear('answer_head.logit_fc.3'));
}

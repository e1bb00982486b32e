import type { Value } from '../../formats/onnxBuilder.js';
import { gelu, layerNorm, linear, product } from './layers.js';
import type { ModelGraph } from './modelGraph.js';

/** Answer logits, `Linear(inputs, 2H) → GELU → LN → Linear(2H, answers)`: [samples, inputs] → [samples, answers]. */
export function answerHead(m: ModelGraph, pooled: Value): Value {
  const name = 'answer_head.logit_fc';
  return linear(m, layerNorm(m, gelu(m, linear(m, pooled, `${name}.0`)), `${name}.2`), `${name}.3`);
}

/** `LN(gelu(W x + b))`, the first layer of the heads that predict words and objects: [rows, H] → [rows, H]. */
const transform = (m: ModelGraph, x: Value, name: string): Value =>
  layerNorm(m, gelu(m, linear(m, x, `${name}.dense`)), `${name}.LayerNorm`);

/** Logits of the words (LXMERT, section 3.1.1). The word table is the decoder: [rows, H] → [rows, vocabSize]. */
export function wordHead(m: ModelGraph, language: Value): Value {
  const name = 'cls.predictions';
  const transformed = transform(m, language, `${name}.transform`);
  return product(m, transformed, 'lxmert.embeddings.word_embeddings.weight', `${name}.bias`);
}

/** Logits of whether sentence and picture belong together, no and yes: [samples, H] → [samples, 2]. */
export const matchHead = (m: ModelGraph, pooled: Value): Value => linear(m, pooled, 'cls.seq_relationship');

/** The first layer of the heads that predict objects (LXMERT, section 3.1.2): [rows, H] → [rows, H]. */
export const objectTransform = (m: ModelGraph, vision: Value): Value =>
  transform(m, vision, 'obj_predict_head.transform');

/** Logits of the classes or the attributes, or the regressed features: [rows, H] → [rows, outputs]. */
export const objectHead = (m: ModelGraph, transformed: Value, of: 'obj' | 'attr' | 'feat'): Value =>
  linear(m, transformed, `obj_predict_head.decoder_dict.${of}`);

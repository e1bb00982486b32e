import { featuresOf, objectEmbedding, tokenEmbedding, type Tensor } from '../engine/index.js';
import { visionStream, type Encoder, type Stream } from './encoder.js';
import type { ModelInputs } from './inputs.js';

/** Word-level sentence embeddings (LXMERT, section 2.1): ids [rows] i32 of a stream of words → [rows, H]. */
export function sentenceEmbeddings(
  { tape, weights, config }: Encoder,
  { rows, rowIds }: Stream,
  tokenIds: Tensor,
  out?: Tensor,
): Tensor {
  const name = 'lxmert.embeddings';
  return tokenEmbedding(
    tape,
    rows,
    tokenIds,
    {
      word: weights.get(`${name}.word_embeddings.weight`),
      position: weights.get(`${name}.position_embeddings.weight`),
      type: weights.get(`${name}.token_type_embeddings.weight`),
      norm: weights.norm(`${name}.LayerNorm`),
    },
    { dropout: config.hiddenDropoutProb, rowIds, out },
  );
}

/** Object-level image embeddings (LXMERT, section 2.1): [vision rows, H]. */
export function objectEmbeddings({ tape, weights, config }: Encoder, inputs: ModelInputs, out?: Tensor): Tensor {
  const name = 'lxmert.encoder.visn_fc';
  const { rows, rowIds } = visionStream(inputs);
  return objectEmbedding(
    tape,
    rows,
    featuresOf(tape, rows, inputs.visualFeats),
    inputs.visualPos,
    {
      feature: weights.linear(`${name}.visn_fc`),
      box: weights.linear(`${name}.box_fc`),
      featureNorm: weights.norm(`${name}.visn_layer_norm`),
      boxNorm: weights.norm(`${name}.box_layer_norm`),
    },
    { dropout: config.hiddenDropoutProb, rowIds, out },
  );
}

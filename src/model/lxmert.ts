import { gatherRows, linear, rowBlock, tanh, type Tensor } from '../engine/index.js';
import { objectEmbeddings, sentenceEmbeddings } from './embeddings.js';
import {
  crossModalityLayer,
  languageStream,
  lastLayerFirstRows,
  singleModalityLayer,
  visionStream,
  type Encoder,
} from './encoder.js';
import type { ModelInputs } from './inputs.js';

export interface LxmertOutputs {
  /** Last hidden states of the two streams: [language rows, H], [vision rows, H]. */
  readonly language: Tensor;
  readonly vision: Tensor;
}

/** LXMERT's three encoders (Tan & Bansal 2019, section 2.2). */
export function lxmert(encoder: Encoder, inputs: ModelInputs): LxmertOutputs {
  const { language, vision, stacked } = inputs;
  const joined = crossed(encoder, inputs, encoder.config.xLayers);
  return {
    language: rowBlock(joined, 0, language.capacity),
    vision: rowBlock(joined, stacked.split, vision.capacity),
  };
}

/** The same up to the first row of each sentence, [CLS], computing nothing that does not lead there: [samples, H]. */
export function lxmertFirstRows(encoder: Encoder, inputs: ModelInputs): Tensor {
  const last = encoder.config.xLayers - 1;
  return encoder.tape.through(crossed(encoder, inputs, last), (x) => lastLayerFirstRows(encoder, inputs, x, last));
}

/** Both single-modality encoders and the first `layers` cross-modality layers: stacked rows [rows, H]. */
function crossed(encoder: Encoder, inputs: ModelInputs, layers: number): Tensor {
  const { tape, config } = encoder;
  const { language, vision, stacked } = inputs;
  const languageRows = languageStream(inputs);
  const visionRows = visionStream(inputs);

  // The cross-modality layers read both streams as rows of one tensor, so the last layers before write into it.
  let joined = tape.buffer([stacked.capacity, config.hiddenSize]);
  const languageBlock = rowBlock(joined, 0, language.capacity);
  const visionBlock = rowBlock(joined, stacked.split, vision.capacity);

  tape.beside(
    () => {
      let words = sentenceEmbeddings(encoder, inputs, config.lLayers === 0 ? languageBlock : undefined);
      for (let i = 0; i < config.lLayers; i++) {
        const out = i === config.lLayers - 1 ? languageBlock : undefined;
        words = tape.through(words, (x) =>
          singleModalityLayer(encoder, languageRows, x, `lxmert.encoder.layer.${i}`, `language.${i}`, out),
        );
      }
    },
    () => {
      let objects = objectEmbeddings(encoder, inputs, config.rLayers === 0 ? visionBlock : undefined);
      for (let i = 0; i < config.rLayers; i++) {
        const out = i === config.rLayers - 1 ? visionBlock : undefined;
        objects = tape.through(objects, (x) =>
          singleModalityLayer(encoder, visionRows, x, `lxmert.encoder.r_layers.${i}`, `vision.${i}`, out),
        );
      }
    },
  );
  for (let i = 0; i < layers; i++) joined = tape.through(joined, (x) => crossModalityLayer(encoder, inputs, x, i));
  return joined;
}

/** The first row of each sentence: [language rows, H] → [samples, H]. */
export function firstRows({ tape }: Encoder, inputs: ModelInputs, language: Tensor): Tensor {
  return gatherRows(tape, inputs.samples, language, inputs.tokens.offsets);
}

/** `tanh(W h_[CLS] + b)` of each sample: [samples, H] → [samples, H]. */
export function pooler({ tape, weights }: Encoder, { samples }: ModelInputs, first: Tensor): Tensor {
  return tanh(tape, samples, linear(tape, samples, first, weights.linear('lxmert.pooler.dense')));
}

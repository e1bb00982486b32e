import { gatherRows, linear, rowBlock, tanh, type Tensor } from '../engine/index.js';
import { objectEmbeddings, sentenceEmbeddings } from './embeddings.js';
import {
  crossModalityLayer,
  languageStream,
  lastLayerFirstRows,
  sentenceStream,
  singleModalityLayer,
  visionStream,
  type Encoder,
  type Stream,
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

/**
 * LXMERT's encoders, if only [CLS] is needed. The output is the first row of each sentence: [samples, H]. Work that has
 * no effect on [CLS] is left out.
 */
export function lxmertFirstRows(encoder: Encoder, inputs: ModelInputs): Tensor {
  const last = encoder.config.xLayers - 1;
  return encoder.tape.through(crossed(encoder, inputs, last), (x) => lastLayerFirstRows(encoder, inputs, x, last));
}

/** Both single-modality encoders and the first `layers` cross-modality layers. The output is stacked rows [rows, H]. */
function crossed(encoder: Encoder, inputs: ModelInputs, layers: number): Tensor {
  const { tape, config } = encoder;
  const { language, vision, stacked } = inputs;
  // The cross-modality layers read both streams as rows of one tensor, so the last single-modality layers write into
  // it.
  let joined = tape.buffer([stacked.capacity, config.hiddenSize]);
  const languageBlock = rowBlock(joined, 0, language.capacity);
  const visionBlock = rowBlock(joined, stacked.split, vision.capacity);

  tape.beside(
    () => languageEncoder(encoder, inputs, languageBlock),
    () =>
      singleModalityEncoder(encoder, visionStream(inputs), {
        embed: (out) => objectEmbeddings(encoder, inputs, out),
        layers: config.rLayers,
        name: 'lxmert.encoder.r_layers',
        map: 'vision',
        out: visionBlock,
      }),
  );
  for (let i = 0; i < layers; i++) joined = tape.through(joined, (x) => crossModalityLayer(encoder, inputs, x, i));
  return joined;
}

/** The language encoder of all samples. It writes to `out`: [language rows, H]. */
function languageEncoder(encoder: Encoder, inputs: ModelInputs, out: Tensor): void {
  const { sentences } = inputs;
  const encode = (stream: Stream, tokenIds: Tensor, to?: Tensor): Tensor =>
    singleModalityEncoder(encoder, stream, {
      embed: (into) => sentenceEmbeddings(encoder, stream, tokenIds, into),
      layers: encoder.config.lLayers,
      name: 'lxmert.encoder.layer',
      map: 'language',
      out: to,
    });
  if (!sentences || !canShareSentences(encoder)) {
    encode(languageStream(inputs), inputs.tokenIds, out);
    return;
  }
  const once = encode(sentenceStream(sentences), sentences.tokenIds);
  gatherRows(encoder.tape, inputs.language, once, sentences.rowOf, out);
}

/**
 * Whether the pictures of an example can share the hidden states of its sentence. They cannot share them with dropout,
 * which differs between the samples of an example, or if attention maps are requested, because a map belongs to one
 * sample.
 */
function canShareSentences({ tape, config, maps }: Encoder): boolean {
  const dropout = tape.training && (config.hiddenDropoutProb > 0 || config.attentionProbsDropoutProb > 0);
  return !dropout && !maps?.size;
}

interface SingleModality {
  /** The input of the first layer; written to `out` if there is no layer. */
  readonly embed: (out?: Tensor) => Tensor;
  readonly layers: number;
  /** The part of the names of the layers' parameters and attention maps before the layer's number. */
  readonly name: string;
  readonly map: string;
  /** Where to write the last hidden states. Default: new memory. */
  readonly out?: Tensor | undefined;
}

/** Embeddings and layers of one stream: the language or the object-relationship encoder. */
function singleModalityEncoder(
  encoder: Encoder,
  stream: Stream,
  { embed, layers, name, map, out }: SingleModality,
): Tensor {
  let states = embed(layers === 0 ? out : undefined);
  for (let i = 0; i < layers; i++) {
    const to = i === layers - 1 ? out : undefined;
    states = encoder.tape.through(states, (x) =>
      singleModalityLayer(encoder, stream, x, `${name}.${i}`, `${map}.${i}`, to),
    );
  }
  return states;
}

/** The first row of each sentence: [language rows, H] → [samples, H]. */
export function firstRows({ tape }: Encoder, inputs: ModelInputs, language: Tensor): Tensor {
  return gatherRows(tape, inputs.samples, language, inputs.tokens.offsets);
}

/** `tanh(W h_[CLS] + b)` of each sample: [samples, H] → [samples, H]. */
export function pooler({ tape, weights }: Encoder, { samples }: ModelInputs, first: Tensor): Tensor {
  return tanh(tape, samples, linear(tape, samples, first, weights.linear('lxmert.pooler.dense')));
}

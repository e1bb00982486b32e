import { examplesOf, type Batch } from '../data/batches/batch.js';
import { LxmertError } from '../errors.js';
import type { LayerAttention, SampleAttention } from '../explain/index.js';
import type { InferenceModel, MapsAndGradients } from './inference.js';
import { bestRow } from './rank.js';

/** An answer to one question, with the attention that led to it. */
export interface ExplainedAnswer {
  /** The logits of all answers: [answers] */
  readonly logits: Float32Array;
  /** The row of the answer head. The gradients are those of its logit. */
  readonly answer: number;
  readonly attention: SampleAttention;
}

/**
 * Answers the questions of a batch. Also returns all attention that has an effect on the answers, with its gradients.
 * Makes one forward and one backward pass.
 * @param answers the row of the answer to explain, for each question; undefined: the answer that the model gives
 * @throws UNSUPPORTED for a model that takes two pictures for each question, or that has no answer head
 */
export async function explainBatch(
  model: InferenceModel,
  batch: Batch,
  answers: readonly (number | undefined)[] = [],
): Promise<ExplainedAnswer[]> {
  const { lLayers, rLayers, xLayers, numQaLabels } = model.config;
  if (model.heads.pictures !== 1)
    throw new LxmertError(
      'UNSUPPORTED',
      model.heads.pictures === 2
        ? `${model.path}: it takes two pictures a question, and the rules of relevancy are for one`
        : `${model.path}: it has no answer head, so there is no answer to explain; \`lxmert finetune\` makes one`,
    );
  const names = [
    ...numbered('language', lLayers),
    ...numbered('vision', rLayers),
    ...['cross_lang_to_vision', 'cross_vision_to_lang', 'cross_self_language'].flatMap((n) => numbered(n, xLayers)),
    ...numbered('cross_self_vision', xLayers - 1), // in the last layer it has no effect on the answer
  ];
  const chosen: number[] = [];
  const made = await model.explain(batch, names, (logits) => {
    chosen.length = 0;
    for (let e = 0; e < examplesOf(batch); e++)
      chosen.push(answers[e] ?? bestRow(logits.subarray(e * numQaLabels, (e + 1) * numQaLabels)));
    return chosen;
  });
  return chosen.map((answer, e) => ({
    answer,
    logits: made.logits.subarray(e * numQaLabels, (e + 1) * numQaLabels),
    attention: sampleAttention(made, model.config, {
      sample: e,
      words: batch.tokenOffsets[e + 1] - batch.tokenOffsets[e],
      boxes: batch.objectOffsets[e + 1] - batch.objectOffsets[e],
    }),
  }));
}

const numbered = (name: string, layers: number): string[] => Array.from({ length: layers }, (_, i) => `${name}.${i}`);

/** The attention of one sample, as views into the arrays of the batch. */
function sampleAttention(
  { starts, heads, side, maps, gradients }: MapsAndGradients,
  { lLayers, rLayers, xLayers }: InferenceModel['config'],
  { sample, words, boxes }: { readonly sample: number; readonly words: number; readonly boxes: number },
): SampleAttention {
  const layer = (name: string, queries: number, keys: number): LayerAttention => ({
    ...{ heads, queries, keys, attention: maps, gradient: gradients },
    ...{ start: starts.get(name)! + sample * heads * side * side, headStride: side * side, rowStride: side },
  });
  return {
    language: numbered('language', lLayers).map((name) => layer(name, words, words)),
    vision: numbered('vision', rLayers).map((name) => layer(name, boxes, boxes)),
    cross: Array.from({ length: xLayers }, (_, i) => ({
      languageToVision: layer(`cross_lang_to_vision.${i}`, words, boxes),
      visionToLanguage: layer(`cross_vision_to_lang.${i}`, boxes, words),
      language: layer(`cross_self_language.${i}`, words, words),
      vision: i < xLayers - 1 ? layer(`cross_self_vision.${i}`, boxes, boxes) : undefined,
    })),
  };
}

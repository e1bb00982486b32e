/**
 * Relevancy of words and boxes for an answer: Chefer, Gur and Wolf 2021, "Generic Attention-model Explainability for
 * Interpreting Bi-Modal and Encoder-Decoder Transformers", arXiv 2103.15679, section 3. t stands for words (text), v
 * for boxes (vision). R_tv, for example, says how much each box counts for each word.
 */
import {
  meanRelevance,
  type CrossAttention,
  type LayerAttention,
  type Relevance,
  type SampleAttention,
} from './attention.js';
import { add, firstRow, identity, multiply, multiplyTransposed, rowsToShares, zeros, type Matrix } from './matrix.js';

/** The four relevancy matrices. */
export interface RelevancyMatrices {
  readonly tt: Matrix;
  readonly tv: Matrix;
  readonly vt: Matrix;
  readonly vv: Matrix;
}

/** Called with the matrices after each step. `step` is for example `language.0` or `cross.1.self_vision`. */
export type OnStep = (step: string, r: RelevancyMatrices) => void;

/** How much each word and each box counts for the answer, which the model reads from [CLS], the first word. */
export function relevancy(sample: SampleAttention, onStep: OnStep = () => undefined): Relevance {
  const { tt, tv } = relevancyMatrices(sample, onStep);
  const words = firstRow(tt);
  words[0] = 0; // the value of [CLS] for itself explains nothing
  return { words, boxes: firstRow(tv) };
}

function relevancyMatrices({ language, vision, cross }: SampleAttention, onStep: OnStep): RelevancyMatrices {
  const [{ languageToVision }] = cross;
  const [words, boxes] = [languageToVision.queries, languageToVision.keys];
  let r: RelevancyMatrices = {
    tt: identity(words),
    tv: zeros(words, boxes),
    vt: zeros(boxes, words),
    vv: identity(boxes),
  };
  const step = (name: string, next: RelevancyMatrices): void => {
    r = next;
    onStep(name, r);
  };
  step('start', r);
  language.forEach((layer, i) => step(`language.${i}`, languageSelfAttention(r, layer)));
  vision.forEach((layer, i) => step(`vision.${i}`, visionSelfAttention(r, layer)));
  cross.forEach((layer, i) => {
    // The answer is read from a word, so in the last layer the attention of the boxes has no effect on the answer.
    const isLast = i === cross.length - 1;
    step(`cross.${i}.cross`, { ...r, ...crossToWords(r, layer), ...(isLast ? undefined : crossToBoxes(r, layer)) });
    step(`cross.${i}.self_language`, languageSelfAttention(r, layer.language));
    if (!isLast && layer.vision) step(`cross.${i}.self_vision`, visionSelfAttention(r, layer.vision));
  });
  return r;
}

/** Equations 6 and 7: self-attention of the words. */
function languageSelfAttention(r: RelevancyMatrices, layer: LayerAttention): RelevancyMatrices {
  const a = meanRelevance(layer);
  return { ...r, tt: add(r.tt, multiply(a, r.tt)), tv: add(r.tv, multiply(a, r.tv)) };
}

/** Equations 6 and 7: self-attention of the boxes. */
function visionSelfAttention(r: RelevancyMatrices, layer: LayerAttention): RelevancyMatrices {
  const a = meanRelevance(layer);
  return { ...r, vv: add(r.vv, multiply(a, r.vv)), vt: add(r.vt, multiply(a, r.vt)) };
}

/** Equations 10 and 11: words attend to boxes. */
function crossToWords(
  r: RelevancyMatrices,
  { languageToVision }: CrossAttention,
): Pick<RelevancyMatrices, 'tt' | 'tv'> {
  const a = meanRelevance(languageToVision);
  const mixed = multiplyTransposed(normalised(r.tt), multiply(a, normalised(r.vv)));
  return { tv: add(r.tv, mixed), tt: add(r.tt, multiply(a, r.vt)) };
}

/** Equations 10 and 11: boxes attend to words. */
function crossToBoxes(
  r: RelevancyMatrices,
  { visionToLanguage }: CrossAttention,
): Pick<RelevancyMatrices, 'vv' | 'vt'> {
  const a = meanRelevance(visionToLanguage);
  const mixed = multiplyTransposed(normalised(r.vv), multiply(a, normalised(r.tt)));
  return { vt: add(r.vt, mixed), vv: add(r.vv, multiply(a, r.tv)) };
}

/**
 * Equations 8 and 9: each row of R - I is divided by its sum, and then I is added. A row of R - I that is 0 stays 0.
 * The authors' code divides 0 by 0 for such a row.
 */
function normalised(r: Matrix): Matrix {
  const gained = { ...r, values: r.values.slice() };
  for (let i = 0; i < r.rows; i++) gained.values[i * r.columns + i] -= 1;
  return add(rowsToShares(gained), identity(r.rows));
}

import {
  featuresOf,
  gatherRows,
  rowBlock,
  smoothL1,
  softmaxCrossEntropy,
  type CrossEntropyTargets,
  type Rows,
  type Tensor,
} from '../engine/index.js';
import { answerHead, maskedLmHead, matchingHead, objectDecoder, objectTransform } from '../model/heads.js';
import { firstRows, lxmert, lxmertFirstRows, pooler } from '../model/lxmert.js';
import type { Encoder } from '../model/encoder.js';
import { lossNames, type LossName, type LossWeights } from './losses.js';
import type { StagedBatch } from '../step/staging.js';

/** What the heads said, for comparisons and accuracies; absent where the loss is off. */
export interface PretrainOutputs {
  /** Last hidden states; absent when only what reads the pooled output is on. */
  readonly language?: Tensor;
  readonly vision?: Tensor;
  /** [samples, H]; absent when neither matching nor QA is on. */
  readonly pooled?: Tensor;
  /**
   * Logits (feat: regressed features) by loss, before their loss's backward; rows as `rowsOf`. Those of words have a few
   * columns more than `vocabSize`, which stand for nothing.
   */
  readonly logits: Readonly<Partial<Record<LossName, Tensor>>>;
  /** Arg-max of each row. */
  readonly predictions: Readonly<Partial<Record<LossName, Tensor>>>;
}

/**
 * The forward of the five pre-training tasks (LXMERT, section 3.1): encoders, heads and losses. Each loss adds its sums to
 * its row of `tallies` [losses, 4]; the gradient's scales come from the step record.
 */
export function pretrainForward(
  encoder: Encoder,
  batch: StagedBatch,
  weights: LossWeights,
  tallies: Tensor,
): PretrainOutputs {
  const { tape } = encoder;
  const readsObjects = weights.obj || weights.attr || weights.feat;
  const readsRows = weights.maskedLm || readsObjects;
  const streams = readsRows ? lxmert(encoder, batch) : null;
  const logits: Partial<Record<LossName, Tensor>> = {};
  const predictions: Partial<Record<LossName, Tensor>> = {};
  const slotOf = (name: LossName): { tally: Tensor; slot: number } => {
    const slot = lossNames.indexOf(name);
    return { slot, tally: rowBlock(tallies, slot, 1) };
  };
  const classify = (name: LossName, rows: Rows, scores: Tensor, targets: CrossEntropyTargets): void => {
    logits[name] = scores;
    predictions[name] = softmaxCrossEntropy(tape, rows, scores, targets, slotOf(name));
  };

  const first = (): Tensor => (streams ? firstRows(encoder, batch, streams.language) : lxmertFirstRows(encoder, batch));
  const readLanguage = (): Tensor | undefined => {
    const pooled = weights.matched || weights.qa ? pooler(encoder, batch, first()) : undefined;
    if (pooled && weights.matched)
      classify('matched', batch.samples, matchingHead(encoder, batch.samples, pooled), { labels: batch.matched });
    if (pooled && weights.qa)
      classify('qa', batch.samples, answerHead(encoder, batch.samples, pooled), { labels: batch.answers });
    if (streams && weights.maskedLm)
      classify(
        'maskedLm',
        batch.maskedTokens,
        maskedLmHead(encoder, streams.language, batch.maskedTokens, batch.maskedTokenRows),
        { labels: batch.maskedTokenLabels, classes: encoder.config.vocabSize },
      );
    return pooled;
  };

  // Class and attribute of every object, as sure as the detector is; the feature of the masked ones.
  const readVision = (vision: Tensor): void => {
    const objects = objectTransform(encoder, batch.vision, vision);
    if (weights.obj)
      classify('obj', batch.vision, objectDecoder(encoder, batch.vision, objects, 'obj'), {
        labels: batch.objectLabels,
        weights: batch.objectConfs,
      });
    if (weights.attr)
      classify('attr', batch.vision, objectDecoder(encoder, batch.vision, objects, 'attr'), {
        labels: batch.attributeLabels,
        weights: batch.attributeConfs,
      });
    if (weights.feat) {
      const masked = gatherRows(tape, batch.maskedObjects, objects, batch.maskedObjectRows);
      logits.feat = objectDecoder(encoder, batch.maskedObjects, masked, 'feat');
      const targets = featuresOf(tape, batch.maskedObjects, batch.featureTargets, 'f32'); // whatever is computed in
      smoothL1(tape, batch.maskedObjects, logits.feat, targets, slotOf('feat'));
    }
  };

  const [pooled] =
    streams && readsObjects ? tape.beside(readLanguage, () => readVision(streams.vision)) : [readLanguage()];
  return { ...streams, ...(pooled && { pooled }), logits, predictions };
}

import type { ModelConfig } from '../config/modelConfig.js';
import { examplesOf, type Batch } from '../data/batches/batch.js';
import {
  joinRows,
  sigmoidCrossEntropy,
  softmaxCrossEntropy,
  type LossSlot,
  type Rows,
  type Tensor,
} from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { answerEntries, answerHead } from '../model/heads.js';
import { firstRows, lxmert, lxmertFirstRows, pooler } from '../model/lxmert.js';
import { encoderGroups, encoderParameters, groupOf, type ParameterSpec } from '../model/parameters.js';
import type { ForwardPass, Objective } from '../step/objective.js';
import type { StagedBatch } from '../step/staging.js';

/** The one loss of fine-tuning, as metrics name it. */
export const answerLoss = 'answer';
export type AnswerLossName = typeof answerLoss;

/** The only loss of fine-tuning has weight 1. */
export const answerWeights = { [answerLoss]: 1 } as const;

/** Groups of the parameters that fine-tuning trains, in the order of memory; any of them can be frozen. */
export const trainedGroups = [...encoderGroups.filter((group) => group !== 'lastVision'), 'pooler', 'head'] as const;

/**
 * The losses of a question. `A` is the number of answers.
 * `soft`: sigmoid cross-entropy with the scores of all answers, summed over the answers (the original computes the mean
 * over the answers, times A). `hard`: softmax cross-entropy with the best answer, times A (the original's `--mceLoss`); a
 * question without an answer has the target 0, as in the original. `classes`: softmax cross-entropy with the best answer,
 * not scaled (NLVR2); a question without an answer is ignored. Each is the mean over the questions of the global batch.
 */
export const answerLosses = ['soft', 'hard', 'classes'] as const;
export type AnswerLoss = (typeof answerLosses)[number];

export interface FinetuneObjectiveOptions {
  /**
   * Number of pictures of one question. For two pictures, their pooled outputs are joined, so the head has 2H inputs
   * (NLVR2).
   */
  readonly pictures: 1 | 2;
  readonly loss: AnswerLoss;
  /** Groups of parameters that do not change: even weight decay is not applied to them. */
  readonly freeze?: ReadonlySet<string> | undefined;
  /** Learning rate of the head, divided by that of the other parameters; 1 by default. */
  readonly headRate?: number | undefined;
  /** Also keep the last hidden states. The whole last layer is then computed. Default: false. */
  readonly hiddenStates?: boolean | undefined;
}

export interface FinetuneOutputs {
  /** Last hidden states; only with `hiddenStates`. */
  readonly language?: Tensor | undefined;
  readonly vision?: Tensor | undefined;
  /** [samples, H]; an example with two pictures has two samples. */
  readonly pooled: Tensor;
  /** [examples, A] */
  readonly logits: Tensor;
  /** Arg-max of each row: [examples] i32 */
  readonly predictions: Tensor;
}

/** Every parameter of a model for questions about `pictures` pictures, in the order of memory. */
export function finetuneParameters(config: ModelConfig, pictures: 1 | 2): ParameterSpec[] {
  const head = answerEntries(config, config.numQaLabels, pictures * config.hiddenSize);
  return [...encoderParameters(config), ...groupOf('head', head)];
}

/** Fine-tuning on questions: pooled [CLS] → answer head → one loss (LXMERT, sections 4.2 and 4.3). */
export function finetuneObjective(options: FinetuneObjectiveOptions): Objective<AnswerLossName, FinetuneOutputs> {
  const { pictures, loss, freeze = new Set(), headRate = 1 } = options;
  const groups = new Set(trainedGroups.filter((group) => !freeze.has(group)));
  return {
    losses: [answerLoss],
    parameters: (config) => finetuneParameters(config, pictures),
    factors: ({ numQaLabels }) => ({ [answerLoss]: loss === 'hard' ? numQaLabels : 1 }),
    counts: (batch) => ({ [answerLoss]: labelled(batch, loss) }),
    groups: () => groups,
    ownRate: headRate === 1 ? undefined : { groups: new Set(['head']), factor: headRate },
    forward: (pass) => forward(pass, options),
  };
}

/** Number of examples that count in the loss. */
function labelled(batch: Batch, loss: AnswerLoss): number {
  if (loss !== 'classes') return examplesOf(batch);
  return Array.from(batch.targetLabels ?? []).filter((label) => label >= 0).length;
}

function forward(pass: ForwardPass<AnswerLossName>, options: FinetuneObjectiveOptions): FinetuneOutputs {
  const { encoder, batch, slotOf } = pass;
  const whole = options.hiddenStates ? lxmert(encoder, batch) : undefined;
  const first = whole ? firstRows(encoder, batch, whole.language) : lxmertFirstRows(encoder, batch);
  const pooled = pooler(encoder, batch, first);
  const rows = batch.examples;
  // The pooled outputs of an example's two samples are adjacent in memory, so they can be joined without a copy.
  const logits = answerHead(encoder, rows, options.pictures === 1 ? pooled : joinRows(pooled, options.pictures));
  const predictions = lossOf(pass, options.loss, rows, logits, slotOf(answerLoss));
  return { ...whole, pooled, logits, predictions };
}

function lossOf(
  { encoder, batch }: ForwardPass<AnswerLossName>,
  loss: AnswerLoss,
  rows: Rows,
  logits: Tensor,
  slot: LossSlot,
): Tensor {
  const { offsets, ids, scores, labels } = targetsOf(batch);
  return loss === 'soft'
    ? sigmoidCrossEntropy(encoder.tape, rows, logits, { offsets, ids, scores }, slot)
    : softmaxCrossEntropy(encoder.tape, rows, logits, { labels }, slot);
}

function targetsOf({ targetOffsets, targetIds, targetScores, targetLabels }: StagedBatch) {
  if (!targetOffsets || !targetIds || !targetScores || !targetLabels)
    throw new LxmertError('INTERNAL', 'a batch of fine-tuning has no targets');
  return { offsets: targetOffsets, ids: targetIds, scores: targetScores, labels: targetLabels };
}

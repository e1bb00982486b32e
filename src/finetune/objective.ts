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

/** The loss of fine-tuning has weight 1. */
export const answerWeights = { [answerLoss]: 1 } as const;

/** Groups of the parameters that fine-tuning trains, in the order of memory; any of them can be frozen. */
export const trainedGroups = [...encoderGroups.filter((group) => group !== 'lastVision'), 'pooler', 'head'] as const;

/**
 * How a question's answers become a loss, `A` being the number of answers.
 * `soft`: sigmoid cross-entropy with the scores of all answers, summed over the answers (the original's mean over them,
 * times A). `hard`: softmax cross-entropy with the best answer, times A (the original's `--mceLoss`); a question without
 * an answer counts as answer 0, as there. `classes`: softmax cross-entropy with the best answer, not scaled (NLVR2); a
 * question without an answer counts for nothing. All are means over the questions of the global batch.
 */
export const answerLosses = ['soft', 'hard', 'classes'] as const;
export type AnswerLoss = (typeof answerLosses)[number];

export interface FinetuneObjectiveOptions {
  /** Pictures of one question; of two, the pooled outputs are joined: a head with 2H inputs (NLVR2). */
  readonly pictures: 1 | 2;
  readonly loss: AnswerLoss;
  /** Groups that are left as they are, decay included. */
  readonly freeze?: ReadonlySet<string> | undefined;
  /** Learning rate of the head over that of all else; 1 unless given. */
  readonly headRate?: number | undefined;
  /** Keep the last hidden states, too, for which the whole last layer is computed. Default: false. */
  readonly hiddenStates?: boolean | undefined;
}

export interface FinetuneOutputs {
  /** Last hidden states; only with `hiddenStates`. */
  readonly language?: Tensor | undefined;
  readonly vision?: Tensor | undefined;
  /** [samples, H]; two samples an example where there are two pictures. */
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

/** Examples that count in the loss. */
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
  // The two samples of an example lie side by side, so their pooled outputs are joined without a copy.
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

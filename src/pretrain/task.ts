import type { ModelConfig } from '../config/modelConfig.js';
import type { LossName } from '../config/tasks.js';
import type { Batch } from '../data/batches/batch.js';
import { smoothL1, softmaxCrossEntropy, type CrossEntropyTargets, type Rows, type Tensor } from '../engine/index.js';
import type { ParameterSpec } from '../model/parameters.js';
import type { ForwardPass } from '../step/objective.js';

/** Collects the outputs of the heads. */
export interface HeadOutputs {
  readonly logits: Partial<Record<LossName, Tensor>>;
  readonly predictions: Partial<Record<LossName, Tensor>>;
}

export type HeadPass = ForwardPass<LossName> & { readonly outputs: HeadOutputs };

/** The computation of a pre-training task; `src/config/tasks.ts` has its names. */
export interface PretrainTask {
  /** The input of its head: pooled [CLS] [samples, H], or the last hidden states of a stream [rows, H]. */
  readonly reads: 'pooled' | 'language' | 'vision';
  /** Parameters of the head. A group is named after the task (used by all its losses) or after one loss. */
  readonly parameters: (config: ModelConfig) => readonly ParameterSpec[];
  /** Constant factor of the losses in addition to their weights; 1 unless given. */
  readonly factor?: (config: ModelConfig) => number;
  /** The divisor of each of its losses: labels of the batch, or real objects. */
  readonly counts: (batch: Batch) => Readonly<Partial<Record<LossName, number>>>;
  /** Head and losses. A loss whose weight is 0 is not computed. */
  readonly forward: (pass: HeadPass, input: Tensor) => void;
}

/** Cross-entropy of logits [rows, classes]. Adds the logits and their arg-max to the outputs. */
export function classify(
  { encoder, outputs, slotOf }: HeadPass,
  loss: LossName,
  rows: Rows,
  logits: Tensor,
  targets: CrossEntropyTargets,
): void {
  outputs.logits[loss] = logits;
  outputs.predictions[loss] = softmaxCrossEntropy(encoder.tape, rows, logits, targets, slotOf(loss));
}

/** Smooth L1 of predictions [rows, width]. Adds the predictions to the outputs. */
export function regress(
  { encoder, outputs, slotOf }: HeadPass,
  loss: LossName,
  rows: Rows,
  predictions: Tensor,
  target: Tensor,
): void {
  outputs.logits[loss] = predictions;
  smoothL1(encoder.tape, rows, predictions, target, slotOf(loss));
}

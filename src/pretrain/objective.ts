import type { ModelConfig } from '../config/modelConfig.js';
import { lossesOf, lossNames, taskNames, type LossName, type TaskName } from '../config/tasks.js';
import type { Tensor } from '../engine/index.js';
import { firstRows, lxmert, lxmertFirstRows, pooler } from '../model/lxmert.js';
import { encoderGroups, encoderParameters, type ParameterSpec } from '../model/parameters.js';
import { recordOf } from '../records.js';
import type { ForwardPass, Objective } from '../step/objective.js';
import type { LossWeights } from './losses.js';
import { maskedLm } from './maskedLm.js';
import { matched } from './matched.js';
import { objects } from './objects.js';
import { qa } from './qa.js';
import type { HeadOutputs, PretrainTask } from './task.js';

/** The pre-training tasks. */
const tasks: Readonly<Record<TaskName, PretrainTask>> = { maskedLm, matched, objects, qa };

/** Outputs of the heads, for comparisons and accuracies; absent for a loss that is off. */
export interface PretrainOutputs {
  /** Last hidden states; absent if all losses that are on read only the pooled output. */
  readonly language?: Tensor;
  readonly vision?: Tensor;
  /** [samples, H]; absent when neither matching nor QA is on. */
  readonly pooled?: Tensor | undefined;
  /**
   * Logits of each loss (for `feat`: the regressed features), before the backward pass overwrites them. The rows are
   * those of `batchFields`. Word logits have a few more columns than `vocabSize`; these columns have no meaning.
   */
  readonly logits: Readonly<Partial<Record<LossName, Tensor>>>;
  /** The arg-max of each row. */
  readonly predictions: Readonly<Partial<Record<LossName, Tensor>>>;
}

/** Every parameter of the pre-training model, in the order of memory: encoders, pooler, then the head of each task. */
export function pretrainParameters(config: ModelConfig): ParameterSpec[] {
  return [...encoderParameters(config), ...taskNames.flatMap((task) => tasks[task].parameters(config))];
}

/** Tasks with a loss that is on. */
const tasksOn = (weights: LossWeights): readonly TaskName[] =>
  taskNames.filter((task) => lossesOf(task).some((loss) => weights[loss] !== 0));

/** The five pre-training tasks (LXMERT, section 3.1): heads, losses and parameters. */
export const pretrainObjective: Objective<LossName, PretrainOutputs> = {
  losses: lossNames,
  parameters: pretrainParameters,
  factors: (config) => {
    const factors = taskNames.flatMap((task) =>
      lossesOf(task).map((loss) => [loss, tasks[task].factor?.(config) ?? 1] as const),
    );
    const byLoss = new Map(factors);
    return recordOf(lossNames, (loss) => byLoss.get(loss) ?? 1);
  },
  counts: (batch) => {
    const counts = Object.assign({}, ...taskNames.map((task) => tasks[task].counts(batch))) as ReturnType<
      PretrainTask['counts']
    >;
    return recordOf(lossNames, (loss) => counts[loss] ?? 0);
  },
  groups: (weights) => {
    const on = tasksOn(weights);
    return new Set([
      ...encoderGroups,
      ...(on.some((task) => tasks[task].reads === 'pooled') ? ['pooler'] : []),
      ...on,
      ...lossNames.filter((loss) => weights[loss] !== 0),
    ]);
  },
  forward,
};

/**
 * Runs encoders, heads and losses. On CUDA, the heads that read the vision output run at the same time as the heads
 * that read the language and pooled output.
 */
function forward(pass: ForwardPass<LossName>): PretrainOutputs {
  const { encoder, batch, weights } = pass;
  const outputs: HeadOutputs = { logits: {}, predictions: {} };
  const readers = (kind: PretrainTask['reads']): readonly PretrainTask[] =>
    tasksOn(weights)
      .map((task) => tasks[task])
      .filter(({ reads }) => reads === kind);
  const [ofPooled, ofLanguage, ofVision] = [readers('pooled'), readers('language'), readers('vision')];
  const run = (heads: readonly PretrainTask[], input: Tensor): void =>
    heads.forEach((head) => head.forward({ ...pass, outputs }, input));

  const streams = ofLanguage.length + ofVision.length > 0 ? lxmert(encoder, batch) : undefined;
  const first = (): Tensor => (streams ? firstRows(encoder, batch, streams.language) : lxmertFirstRows(encoder, batch));
  const readLanguage = (): Tensor | undefined => {
    const pooled = ofPooled.length > 0 ? pooler(encoder, batch, first()) : undefined;
    if (pooled) run(ofPooled, pooled);
    if (streams) run(ofLanguage, streams.language);
    return pooled;
  };
  const [pooled] =
    streams && ofVision.length > 0
      ? encoder.tape.beside(readLanguage, () => run(ofVision, streams.vision))
      : [readLanguage()];
  return { ...streams, pooled, ...outputs };
}

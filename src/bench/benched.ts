import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { packTargets } from '../data/batches/packTargets.js';
import { RandomStream } from '../data/random.js';
import type { EngineOptions } from '../engine/index.js';
import { Finetuner } from '../finetune/finetuner.js';
import { answerWeights } from '../finetune/objective.js';
import { plainSum } from '../pretrain/losses.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import { benchBatch, type BenchBatchOptions } from './batch.js';
import { finetuneFlops, pretrainFlops, type RowCounts } from './flops.js';
import { adam, learningRate, seed } from './recipe.js';

/** The tasks for which a step can train. */
export const benchTasks = ['pretrain', 'vqa', 'nlvr2'] as const;
export type BenchTask = (typeof benchTasks)[number];

/** Number of answers of the heads of fine-tuning: those of VQA 2.0; false and true. */
const answersOf = { vqa: 3129, nlvr2: 2 } as const;
/** Number of right answers of a question of VQA. It is about the mean of the training split. */
const targetsOfQuestion = 3;

/** A model and a batch for it. */
export interface Benched {
  readonly config: ModelConfig;
  readonly batch: Batch;
  readonly open: (engine: EngineOptions) => BenchedModel;
  readonly flops: (n: RowCounts) => number;
}

type BenchedModel = Pick<Pretrainer, 'engine' | 'initialize' | 'dispose'> & {
  readonly trainStep: (step: number) => Promise<unknown>;
};

/** Pre-training with all five tasks, or fine-tuning with the head of a task. In fine-tuning, samples are questions. */
export function benched(task: BenchTask, given: ModelConfig, options: Omit<BenchBatchOptions, 'seed'>): Benched {
  if (task === 'pretrain') {
    const batch = benchBatch(given, { ...options, seed });
    const open = (engine: EngineOptions): BenchedModel => {
      const model = new Pretrainer({ config: given, adam, engine });
      return opened(model, (step) => model.step([batch], { step, learningRate, seed, weights: plainSum }));
    };
    return { config: given, batch, open, flops: (n) => pretrainFlops(given, n) };
  }
  const config = { ...given, numQaLabels: answersOf[task] };
  const pictures = task === 'nlvr2' ? 2 : 1;
  const batch = questionBatch(config, options, pictures);
  const open = (engine: EngineOptions): BenchedModel => {
    const loss = task === 'nlvr2' ? 'classes' : 'soft';
    const model = new Finetuner({ config, adam: { ...adam, maxGradNorm: 5 }, engine, pictures, loss });
    return opened(model, (step) => model.step([batch], { step, learningRate, seed, weights: answerWeights }));
  };
  return { config, batch, open, flops: (n) => finetuneFlops(config, n) };
}

const opened = (model: Pretrainer | Finetuner, trainStep: BenchedModel['trainStep']): BenchedModel => ({
  engine: model.engine,
  initialize: (from) => model.initialize(from),
  dispose: () => model.dispose(),
  trainStep,
});

/** Random questions with right answers. Nothing is masked. */
function questionBatch(
  config: ModelConfig,
  { samples, ...options }: Omit<BenchBatchOptions, 'seed'>,
  pictures: 1 | 2,
): Batch {
  const random = new RandomStream(seed);
  random.at(0, 0, 'answer');
  const count = pictures === 2 ? 1 : targetsOfQuestion;
  const targets = Array.from({ length: samples }, () => {
    const first = random.below(config.numQaLabels);
    return Array.from({ length: count }, (_, i) => ({ id: (first + i) % config.numQaLabels, score: 1 / (1 + i) }));
  });
  const none = new Int32Array(0);
  return {
    ...benchBatch(config, { ...options, samples: samples * pictures, seed }),
    ...{ maskedTokenRows: none, maskedTokenLabels: none, maskedObjectRows: none, featureTargets: new Float32Array(0) },
    pictures,
    ...packTargets(targets),
  };
}

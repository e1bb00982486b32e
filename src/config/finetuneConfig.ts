import { z } from 'zod';
import { keysOf, recordOf } from '../records.js';
import { modelConfigSchema } from './modelConfig.js';
import type { ModelConfig } from './modelConfig.js';
import { presets } from './presets.js';
import type { ConfigTree } from './presets.js';
import {
  allowMissing,
  checkCourse,
  count,
  courseShape,
  recordedThreads,
  dataShape,
  fromData,
  namesOf,
  optimizerShape,
  path,
  readingShape,
  share,
  weightForms,
} from './runConfig.js';

/** Data sets of questions, and `qa` for the user's own data. */
export const finetuneTasks = ['vqa', 'gqa', 'nlvr2', 'qa'] as const;
export type FinetuneTask = (typeof finetuneTasks)[number];

export const isFinetuneTask = (name: unknown): name is FinetuneTask =>
  (finetuneTasks as readonly unknown[]).includes(name);

/** The losses for the answers of a question. `src/finetune/objective.ts` describes each of them. */
export const answerLossNames = ['soft', 'hard', 'classes'] as const;

/** Parts of the model that can be frozen. */
export const freezableParts = [
  'wordEmbeddings',
  'objectEmbeddings',
  'languageLayers',
  'visionLayers',
  'crossLayers',
  'pooler',
  'head',
] as const;

/** The sizes of the model. A size that is not given is that of the initial weights. */
const modelShape = recordOf(keysOf(modelConfigSchema.shape), (name) => {
  const field = modelConfigSchema.shape[name];
  const description = z.globalRegistry.get(field)?.description;
  const open = field.unwrap().optional();
  return description === undefined ? open : open.describe(description);
});

/** All settings of a fine-tuning run. The defaults are those of the original's VQA. */
export const finetuneConfigSchema = z
  .strictObject({
    task: z.enum(finetuneTasks).describe('form of the questions'),
    out: path.optional().describe('run folder'),
    from: path.optional().describe(`initial weights: ${weightForms}; by default they are random`),
    allowMissing,
    model: z.strictObject({ ...modelShape, ...fromData }).prefault({}),
    data: z
      .strictObject({
        ...dataShape,
        answers: path
          .optional()
          .describe('answer list, or a folder with one; default: <data folder>/<task>. Not for nlvr2'),
        limit: count.optional().describe('use only this number of questions of each split, from its start'),
        maxMissingShare: share
          .default(0.01)
          .describe('largest share of the questions of a split whose pictures may have no features'),
        ...readingShape,
      })
      .prefault({}),
    optimizer: z
      .strictObject({
        ...optimizerShape,
        lr: optimizerShape.lr.unwrap().default(5e-5).describe('peak learning rate'),
        headLr: optimizerShape.lr.unwrap().optional().describe('peak learning rate of the head; default: lr'),
        warmup: optimizerShape.warmup
          .unwrap()
          .default(0.1)
          .describe('share of the steps in which the learning rate rises'),
        maxGradNorm: optimizerShape.maxGradNorm.unwrap().default(5).describe('global gradient norm to clip to'),
      })
      .prefault({}),
    loss: z
      .enum(answerLossNames)
      .optional()
      .describe(
        'soft: scores of all answers; hard: the best answer, times the number of answers; classes: the best answer. ' +
          'Default: classes for nlvr2, otherwise soft',
      ),
    freeze: namesOf(z.enum(freezableParts)).default([]).describe('parts of the model that do not change'),
    ...courseShape,
    batchSize: count.default(32).describe('questions of one optimizer step, over all parts'),
    microBatchSize: count.optional().describe('questions that the device computes at once; default: the whole batch'),
    epochs: count.optional().describe('passes over the training questions (4 unless maxSteps is given)'),
    earlyStop: count.optional().describe('end after this number of validations without a better score; default: never'),
  })
  .superRefine((config, context) => {
    const complain = (where: readonly string[], message: string) =>
      context.addIssue({ code: 'custom', path: [...where], message });
    checkCourse(config, complain);
    if (config.freeze.length === freezableParts.length)
      complain(['freeze'], 'all parts are frozen, so nothing is trained');
    if (config.task === 'nlvr2' && config.loss !== undefined && config.loss !== 'classes')
      complain(['loss'], 'nlvr2 has the loss classes');
    if (config.task === 'nlvr2' && config.data.answers !== undefined)
      complain(['data', 'answers'], 'the answers of nlvr2 are False and True; leave it out');
  })
  .transform((config) => ({
    ...config,
    ...recordedThreads(config),
    ...(config.epochs === undefined && config.maxSteps === undefined ? { epochs: 4 } : {}),
    loss: config.loss ?? (config.task === 'nlvr2' ? ('classes' as const) : ('soft' as const)),
  }));

/** The description of a fine-tuning run. Sizes of the model may be missing. */
export type FinetuneConfig = z.infer<typeof finetuneConfigSchema>;

/** The description of a fine-tuning run with all sizes of the model. */
export type ResolvedFinetuneConfig = Omit<FinetuneConfig, 'model'> & { readonly model: ModelConfig };

const published = { batchSize: 32, epochs: 4 };

/** For a `tiny` model and synthetic scenes. A run takes seconds on a laptop. */
const tiny = {
  batchSize: 64,
  maxSteps: 500,
  validEvery: 250,
  optimizer: { lr: 1e-3, beta2: 0.98, warmup: 0.1, maxGradNorm: 1 },
  data: { train: ['train'], valid: ['valid'] },
} as const satisfies ConfigTree;

/** Presets of fine-tuning. A preset with the name of a task has its published hyper-parameters. */
export const finetunePresets = {
  vqa: {
    ...published,
    optimizer: { lr: 5e-5, warmup: 0.1, maxGradNorm: 5 },
    data: { train: ['train', 'nominival'], valid: ['minival'] },
  },
  gqa: {
    ...published,
    optimizer: { lr: 1e-5, warmup: 0.1, maxGradNorm: 5 },
    data: { train: ['train', 'valid'], valid: ['testdev'] },
  },
  nlvr2: {
    ...published,
    optimizer: { lr: 5e-5, warmup: 0.1, maxGradNorm: 5 },
    data: { train: ['train'], valid: ['valid'] },
  },
  tiny,
  /**
   * The same, but without `from`: the model has the sizes of pre-training's preset `tiny` and begins from random
   * weights.
   */
  tinyScratch: { ...tiny, model: presets.tiny.model },
} as const satisfies Record<string, ConfigTree>;

import { z } from 'zod';
import { recordOf } from '../records.js';
import { modelConfigSchema } from './modelConfig.js';
import type { ModelConfig } from './modelConfig.js';
import { pathProblem } from './paths.js';
import { describe, lossDescriptions, lossNames, taskNames, visualLossNames } from './tasks.js';

export const count = z.number().int().min(1);
export const share = z.number().min(0).max(1);
const weight = z.number().min(0).max(1e6);
export const decay = z.number().min(0).lt(1);
export const path = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const problem = pathProblem(text);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  });
/** A list of names in which no name occurs twice. */
export const namesOf = <T extends z.ZodType<string>>(name: T) =>
  z.array(name).refine((names) => new Set(names).size === names.length, 'a name is given twice');
/** The forms of initial weights, for help. */
export const weightForms = "a checkpoint, a transformers or BERT folder, or a .pth of the original's";
/** The setting for encoder weights that may be missing in the initial weights. */
export const allowMissing = namesOf(z.string().min(1))
  .default([])
  .describe('encoder weights that the initial weights may lack: names, or patterns with *');
export const splitName = z.string().regex(/^[^,\s]+$/, 'a split name has no blanks and no commas');

export const deviceNames = ['auto', 'cpu', 'cuda'] as const;
/** Largest number of CPU threads. */
export const maxThreads = 1024;
export const precisionNames = ['float32', 'bfloat16'] as const;

export type DeviceName = (typeof deviceNames)[number];

/** The epochs, counted from 0, in which a task is on. */
const span = (task: string) =>
  z
    .strictObject({
      from: z.number().int().min(0).default(0).describe(`first epoch, from 0, in which ${task} is on`),
      to: count.optional().describe(`first epoch, from 0, in which ${task} is off again; default: never`),
    })
    .prefault({});

/** Sizes that the data determine, unless the description gives them. */
export const fromData = {
  vocabSize: count.optional().describe('size of the word table; from the tokenizer'),
  visualFeatDim: count.optional().describe('floats of a RoI feature; from the data'),
  numObjectLabels: count.optional().describe('object classes; from the data'),
  numAttrLabels: count.optional().describe('attribute classes; from the data'),
  numQaLabels: count.optional().describe('answers; from the answer table'),
};

/** Settings of the optimizer and of its learning rate. */
export const optimizerShape = {
  lr: z.number().positive().max(10).default(1e-4).describe('peak learning rate'),
  warmup: decay.default(0.05).describe('share of the steps in which the learning rate rises'),
  beta1: decay.default(0.9).describe('decay of the first moment'),
  beta2: decay.default(0.999).describe('decay of the second moment'),
  eps: z.number().positive().default(1e-6).describe('added to the root of the second moment'),
  weightDecay: z.number().min(0).default(0.01).describe('decoupled weight decay'),
  maxGradNorm: z.number().positive().default(1).describe('global gradient norm to clip to'),
};

/** Settings of the data that every kind of run has. */
export const dataShape = {
  folder: path.optional().describe('data folder'),
  train: namesOf(splitName).min(1).default(['train']).describe('training splits'),
  valid: namesOf(splitName).default(['valid']).describe('validation splits; `none`: no validation'),
  vocabulary: path.optional().describe('a BERT vocab.txt; default: that of bert-base-uncased'),
};

/** Settings for reading the data. */
export const readingShape = {
  residentFeatures: z
    .boolean()
    .default(false)
    .describe('keep all features on the device, as float16: 2 bytes a number'),
  workers: z
    .number()
    .int()
    .min(0)
    .max(256)
    .optional()
    .describe('threads that prepare batches; 0: none; the default depends on the data and the number of cores'),
  verifyReads: z
    .boolean()
    .default(false)
    .describe('compare the checksum of each image that is read from a feature store; slower'),
  maxTokens: z.number().int().min(3).default(20).describe('most tokens of a sentence, including [CLS] and [SEP]'),
  bucketBatches: z
    .number()
    .int()
    .min(2)
    .max(65536)
    .optional()
    .describe('batches of a group in which samples are sorted by length; without it, there are no groups'),
};

/** Settings of the length of a run, of its device, and of its checkpoints. */
export const courseShape = {
  batchSize: count.default(256).describe('samples of one optimizer step, over all parts'),
  microBatchSize: count.optional().describe('samples that the device computes at once; default: the whole batch'),
  gradientParts: count
    .refine((parts) => Number.isInteger(Math.log2(parts)), 'it must be a power of two')
    .max(1024)
    .optional()
    .describe(
      'parts of a batch whose gradients are summed in a fixed order: any number of ranks up to it gives the same bits',
    ),
  epochs: count.optional().describe('passes over the training samples (20 unless maxSteps is given)'),
  maxSteps: count.optional().describe('optimizer steps; instead of epochs'),
  seed: z.number().int().min(0).max(0xffffffff).default(9595).describe('seed of weights, order, masks and dropout'),
  device: z.enum(deviceNames).default('auto').describe('where to compute; auto: CUDA if it works, otherwise the CPU'),
  precision: z
    .enum(precisionNames)
    .default('float32')
    .describe('precision of matrix products; weights, gradients and moments are always float32'),
  threads: z.number().int().min(0).max(maxThreads).optional().describe('CPU threads; 0 or not given: all cores'),
  saveEvery: count.default(1000).describe('steps from one checkpoint to the next'),
  validEvery: count.optional().describe('steps from one validation to the next; default: one epoch'),
  earlyStop: count.optional().describe('end after this number of validations without a better loss; default: never'),
  keep: count.default(2).describe('number of newest checkpoints to keep, besides the best'),
  keepEvery: count.optional().describe('never remove the checkpoint at the end of every Nth epoch'),
};

/**
 * The results of matrix products depend on the number of CPU threads. A run that must give the same bits on every
 * machine uses one thread, unless its description gives a number.
 */
export const recordedThreads = ({
  gradientParts,
  threads,
}: {
  readonly gradientParts?: number | undefined;
  readonly threads?: number | undefined;
}): { threads?: number } => (gradientParts !== undefined && threads === undefined ? { threads: 1 } : {});

/** Checks settings that cannot be combined. */
export function checkCourse(
  config: {
    readonly data: { readonly valid: readonly string[] };
    readonly batchSize: number;
    readonly microBatchSize?: number | undefined;
    readonly epochs?: number | undefined;
    readonly maxSteps?: number | undefined;
    readonly earlyStop?: number | undefined;
  },
  complain: (path: readonly string[], message: string) => void,
): void {
  if (config.epochs !== undefined && config.maxSteps !== undefined)
    complain(['maxSteps'], 'give epochs or maxSteps, not both');
  if (config.earlyStop !== undefined && config.data.valid.length === 0)
    complain(['earlyStop'], 'it counts validations; give it validation splits');
  if (config.microBatchSize !== undefined && config.microBatchSize > config.batchSize)
    complain(['microBatchSize'], `it is larger than batchSize (${config.batchSize})`);
}

/** All settings of a pre-training run. The defaults are those of the paper (sections 3.3 and 4.1). */
export const runConfigSchema = z
  .strictObject({
    out: path.optional().describe('run folder'),
    model: z.strictObject({ ...modelConfigSchema.shape, ...fromData }).prefault({}),
    data: z
      .strictObject({
        ...dataShape,
        exclude: namesOf(path)
          .default([])
          .describe('files with ids of images to leave out of training, one a line or a JSON list'),
        excludeLater: namesOf(path)
          .default([])
          .describe(
            'files with ids of images that no batch contains from now on; the order of the others does not change; --resume --exclude adds to this list',
          ),
        maxMissingShare: share
          .default(0.01)
          .describe('largest share of the sentences of a split whose image may have no features'),
        ...readingShape,
        wordMaskRate: share.default(0.15).describe('share of words to predict'),
        objectMaskRate: share.default(0.15).describe('share of objects to predict'),
        swapRate: share.default(0.5).describe('share of sentences taken from another image'),
      })
      .prefault({}),
    tasks: z
      .strictObject({
        on: namesOf(z.enum(taskNames))
          .min(1)
          .default([...taskNames])
          .describe('pre-training tasks'),
        visualLosses: namesOf(z.enum(visualLossNames))
          .default([...visualLossNames])
          .describe('losses of the task objects'),
        schedule: z.strictObject(recordOf(taskNames, (task) => span(describe(task).title))).prefault({}),
        weights: z
          .strictObject(
            recordOf(lossNames, (loss) =>
              weight.default(1).describe(`weight of the ${lossDescriptions.get(loss)!.title}`),
            ),
          )
          .prefault({}),
      })
      .prefault({}),
    optimizer: z.strictObject(optimizerShape).prefault({}),
    ...courseShape,
    init: path.optional().describe(`initial weights: ${weightForms}`),
    allowMissing,
  })
  .superRefine((config, context) => {
    const complain = (path: readonly string[], message: string) =>
      context.addIssue({ code: 'custom', path: [...path], message });
    const model = modelConfigSchema.safeParse(withoutUndefined(config.model));
    for (const issue of model.error?.issues ?? []) complain(['model', ...issue.path.map(String)], issue.message);
    if (config.data.maxTokens > config.model.maxPositionEmbeddings)
      complain(
        ['data', 'maxTokens'],
        `${config.data.maxTokens} tokens need as many positions; maxPositionEmbeddings is ${config.model.maxPositionEmbeddings}`,
      );
    if (config.tasks.on.includes('objects') && config.tasks.visualLosses.length === 0)
      complain(
        ['tasks', 'visualLosses'],
        "the task 'objects' needs one of obj, attr, feat; or leave 'objects' out of the tasks",
      );
    for (const task of taskNames) {
      const { from, to } = config.tasks.schedule[task];
      if (to !== undefined && to <= from)
        complain(
          ['tasks', 'schedule', task, 'to'],
          `${task} is on from epoch ${from}, so it must be off later than that`,
        );
    }
    checkCourse(config, complain);
  })
  .transform((config) => ({
    ...config,
    ...(config.epochs === undefined && config.maxSteps === undefined ? { epochs: 20 } : {}),
    ...recordedThreads(config),
  }));

/** The description of a run. Sizes that the data determine may be missing. */
export type RunConfig = z.infer<typeof runConfigSchema>;

/** The description of a run with all sizes of the model. */
export type ResolvedRunConfig = Omit<RunConfig, 'model'> & { readonly model: ModelConfig };

/** A shallow copy without undefined values. */
export function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as never;
}

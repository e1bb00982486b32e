import { loadFinetuneConfig, loadRunConfig, type ConfigSources } from '../config/loadConfig.js';
import { resolveRunConfig } from '../config/resolveConfig.js';
import type { LossName } from '../config/tasks.js';
import type { Batch } from '../data/batches/batch.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import type { ArenaName } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { ParameterSpec } from '../model/parameters.js';
import { answerWeights, finetuneParameters } from '../finetune/objective.js';
import { openFinetuneData, openFinetuner, resolveFinetune } from '../finetune/openRun.js';
import { lossWeights, openPretrainer, openPretrainRun } from '../pretrain/index.js';
import { lossNames } from '../pretrain/losses.js';
import { pretrainParameters } from '../pretrain/objective.js';
import type { DataCoverage } from '../pretrain/parts.js';
import { mixChanges } from '../pretrain/taskMix.js';
import { lossesOn } from '../step/losses.js';
import type { LossWeights } from '../step/losses.js';
import type { TrainableModel } from '../step/trainableModel.js';
import { totalSteps } from '../train/index.js';
import type { TrainObserver, TrainSettings, TrainSource } from '../train/index.js';

/** An epoch in which the set of losses changes. */
export interface TaskMix {
  readonly epoch: number;
  /** How many losses are on. */
  readonly losses: number;
}

/** A planned run: its settings, its opened data, and a function that opens its model. */
export interface PlannedRun {
  readonly settings: TrainSettings & { readonly out?: string | undefined; readonly validates: boolean };
  readonly source: TrainSource;
  readonly table?: FeatureTable | undefined;
  readonly parameters: readonly ParameterSpec[];
  readonly mixes: readonly TaskMix[];
  /** For training and for validation: how many sentences have an image. */
  readonly coverage: readonly DataCoverage[];
  /** Opens the model on its device. */
  readonly openModel: () => Promise<PlannedModel>;
  readonly close: () => Promise<void>;
}

type ArenaSizes = Readonly<Record<ArenaName, number>>;

/** The functions of a model that planning needs. */
export interface PlannedModel {
  reserveFeatures(table: FeatureTable): Promise<void>;
  memoryFor(parts: readonly Batch[], mix: TaskMix): Promise<ArenaSizes>;
  memory(): ArenaSizes;
  initialize(seed: number): Promise<void>;
  step(parts: readonly Batch[], mix: TaskMix, step: number): Promise<unknown>;
  dispose(): Promise<void>;
}

type Sources = Omit<ConfigSources, 'saved'>;

/** Opens the data of the pre-training run that `sources` describes. */
export async function planPretraining(sources: Sources, observer: TrainObserver | undefined): Promise<PlannedRun> {
  const described = await loadRunConfig(sources);
  const config = { ...described, data: { ...described.data, folder: folderOf(described.data) } };
  const data = await openPretrainRun(config, { observer });
  return closingOnFailure(data, async () => {
    const resolved = resolveRunConfig(config, data.facts);
    const { source, answers, table } = data;
    const weightsOf = (epoch: number): LossWeights<LossName> =>
      lossWeights(resolved.tasks, epoch, answers !== undefined);
    const epochs = Math.ceil(totalSteps(resolved, source.batchesPerEpoch) / source.batchesPerEpoch);
    return {
      settings: { ...resolved, validates: config.data.valid.length > 0 },
      source,
      table,
      coverage: data.coverage ?? [],
      parameters: pretrainParameters(resolved.model),
      mixes: mixChanges(resolved.tasks)
        .filter((epoch) => epoch < epochs)
        .map((epoch) => ({ epoch, losses: lossesOn(lossNames, weightsOf(epoch)).length })),
      openModel: async () => plannedModel(await openPretrainer(resolved), weightsOf, resolved.seed),
      close: () => data.close(),
    };
  });
}

/** Opens the data of the fine-tuning run that `sources` describes. */
export async function planFinetuning(sources: Sources, observer: TrainObserver | undefined): Promise<PlannedRun> {
  const described = await loadFinetuneConfig(sources);
  const config = { ...described, data: { ...described.data, folder: folderOf(described.data) } };
  const data = await openFinetuneData(config, { observer });
  return closingOnFailure(data, async () => {
    const resolved = await resolveFinetune(config, data);
    return {
      settings: { ...resolved, validates: config.data.valid.length > 0 },
      source: data.source,
      table: data.table,
      coverage: data.coverage,
      parameters: finetuneParameters(resolved.model, data.pictures),
      mixes: [{ epoch: 0, losses: 1 }],
      openModel: async () =>
        plannedModel(await openFinetuner(resolved, data.pictures), () => answerWeights, resolved.seed),
      close: () => data.close(),
    };
  });
}

function folderOf({ folder }: { readonly folder?: string | undefined }): string {
  if (folder === undefined) throw new LxmertError('BAD_ARGUMENT', '--data is missing: the data of the planned run');
  return folder;
}

async function closingOnFailure<T>(data: { close(): Promise<void> }, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await data.close();
    throw error;
  }
}

function plannedModel<L extends string, O>(
  model: TrainableModel<L, O>,
  weightsOf: (epoch: number) => LossWeights<L>,
  seed: number,
): PlannedModel {
  return {
    reserveFeatures: (table) => model.reserveFeatures(table),
    memoryFor: (parts, { epoch }) => model.memoryFor(parts, weightsOf(epoch)),
    memory: () => model.engine.memory(),
    initialize: (from) => model.initialize(from),
    step: (parts, { epoch }, step) => model.step(parts, { step, learningRate: 0, seed, weights: weightsOf(epoch) }),
    dispose: () => model.dispose(),
  };
}

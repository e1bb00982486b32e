import { loadFinetuneConfig, loadRunConfig, type ConfigSources } from '../config/loadConfig.js';
import { resolveRunConfig } from '../config/resolveConfig.js';
import type { ResolvedRunConfig } from '../config/runConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import type { ArenaName } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { ParameterSpec } from '../model/parameters.js';
import { answerWeights, finetuneParameters } from '../finetune/objective.js';
import { openFinetuneData, openFinetuner, resolveFinetune } from '../finetune/openRun.js';
import { lossWeights, openPretrainer, openPretrainRun } from '../pretrain/index.js';
import { pretrainParameters } from '../pretrain/objective.js';
import type { LossWeights } from '../step/losses.js';
import type { TrainableModel } from '../step/trainableModel.js';
import type { TrainObserver, TrainSettings, TrainSource } from '../train/index.js';

/** A run that is planned: its settings, its data, opened, and how to get its model. */
export interface PlannedRun {
  readonly settings: TrainSettings & { readonly out?: string | undefined; readonly validates: boolean };
  readonly source: TrainSource;
  readonly table?: FeatureTable | undefined;
  readonly parameters: readonly ParameterSpec[];
  /** The model on its device, and steps over it with the losses of the fullest epoch. */
  readonly openModel: () => Promise<PlannedModel>;
  readonly close: () => Promise<void>;
}

/** What planning asks of a model. */
export interface PlannedModel {
  reserveFeatures(table: FeatureTable): Promise<void>;
  memoryFor(parts: readonly Batch[]): Promise<Readonly<Record<ArenaName, number>>>;
  initialize(seed: number): Promise<void>;
  step(parts: readonly Batch[], step: number): Promise<unknown>;
  dispose(): Promise<void>;
}

type Sources = Omit<ConfigSources, 'saved'>;

/** A pre-training run as described, its data open. */
export async function planPretraining(sources: Sources, observer: TrainObserver | undefined): Promise<PlannedRun> {
  const described = await loadRunConfig(sources);
  const config = { ...described, data: { ...described.data, folder: folderOf(described.data) } };
  const data = await openPretrainRun(config, { observer });
  return closingOnFailure(data, async () => {
    const resolved = resolveRunConfig(config, data.facts);
    return {
      settings: { ...resolved, validates: config.data.valid.length > 0 },
      source: data.source,
      table: data.table,
      parameters: pretrainParameters(resolved.model),
      openModel: async () => {
        const weights = weightsOfFullestEpoch(resolved, data.answers !== undefined);
        return plannedModel(await openPretrainer(resolved), weights, resolved.seed);
      },
      close: () => data.close(),
    };
  });
}

/** A fine-tuning run likewise. */
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
      parameters: finetuneParameters(resolved.model, data.pictures),
      openModel: async () => plannedModel(await openFinetuner(resolved, data.pictures), answerWeights, resolved.seed),
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
  weights: LossWeights<L>,
  seed: number,
): PlannedModel {
  return {
    reserveFeatures: (table) => model.reserveFeatures(table),
    memoryFor: (parts) => model.memoryFor(parts, weights),
    initialize: (from) => model.initialize(from),
    step: (parts, step) => model.step(parts, { step, learningRate: 0, seed, weights }),
    dispose: () => model.dispose(),
  };
}

/** Weights of the epoch with the most losses: what memory and time have to be planned for. */
function weightsOfFullestEpoch({ tasks }: ResolvedRunConfig, hasAnswers: boolean) {
  const epochs = [0, ...tasks.on.map((task) => tasks.schedule[task].from)];
  const all = epochs.map((epoch) => lossWeights(tasks, epoch, hasAnswers));
  const count = (weights: (typeof all)[number]) => Object.values(weights).filter((weight) => weight > 0).length;
  return all.reduce((a, b) => (count(b) > count(a) ? b : a));
}

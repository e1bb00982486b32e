import { forbiddenChanges } from '../config/changes.js';
import { loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import { resolveRunConfig } from '../config/resolveConfig.js';
import type { DataFacts } from '../config/resolveConfig.js';
import type { ResolvedRunConfig, RunConfig } from '../config/runConfig.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import { LxmertError } from '../errors.js';
import { CheckpointStore } from '../train/checkpointStore.js';
import { loadInitialWeights, lookForInitialWeights } from '../train/initialWeights.js';
import { lastValidation } from '../train/metrics.js';
import type { TrainObserver } from '../train/observer.js';
import type { PretrainModel, PretrainSource } from '../train/ports.js';
import { RunFolder, lookIntoRun, newestState } from '../train/runFolder.js';
import { checkTaskMix } from './taskMix.js';
import { totalSteps } from '../train/schedule.js';
import { train } from '../train/trainer.js';
import type { TrainSummary } from '../train/trainOptions.js';
import { isFinished } from '../train/trainerState.js';
import type { TrainerState } from '../train/trainerState.js';

/** A run that says where its data are. */
export type DescribedRun = RunConfig & { readonly data: { readonly folder: string } };

/** Data of a run, opened. */
export interface OpenedData {
  readonly facts: DataFacts;
  /** Absent: there is no answer table, QA is off. */
  readonly answers?: readonly string[] | undefined;
  readonly source: PretrainSource;
  /** Features that the batches only name: to be put onto the device before the first batch is made. */
  readonly table?: FeatureTable;
  /** Changes with the training samples; absent: nobody can tell whether they are the same. */
  readonly samples?: string;
  close(): Promise<void>;
}

/** How a caller follows a run, and ends it. */
export interface RunControls {
  readonly observer?: TrainObserver | undefined;
  /** Ends the run: before its first step at once, then after the step at hand, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

/** How a run gets its data and its model. */
export interface PretrainParts {
  /** Rejects with the signal's reason, soon. */
  openData(config: DescribedRun, controls?: RunControls): Promise<OpenedData>;
  openModel(config: ResolvedRunConfig, observer?: TrainObserver): Promise<PretrainModel>;
}

export interface PretrainRequest extends RunControls {
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Go on from the newest checkpoint of the run folder; start over where there is none. */
  readonly resume?: boolean;
}

/**
 * Pre-trains from a description to a finished run folder, or to where the signal ends it.
 * @throws BAD_ARGUMENT, BAD_CONFIG (description, or a resumed run's differs), RUN_FOLDER, and what data, model and
 *   trainer throw
 */
export async function pretrain(request: PretrainRequest, parts: PretrainParts): Promise<TrainSummary> {
  const { sources, observer, signal, resume = false } = request;
  const described = await loadRunConfig(sources);
  const out = demandSetting(described.out, 'out', 'the run folder');
  const saved = resume ? (await lookIntoRun(out)).config : undefined;
  const config = saved ? await loadRunConfig({ ...sources, saved }) : described;
  const folder = demandSetting(config.data.folder, 'data', 'the data folder');

  const done = resume ? await newestState(out) : undefined;
  if (done && isFinished(done, config.earlyStop) && saved) {
    demandUnchanged(saved, config, out);
    const early = done.step < done.schedule.totalSteps;
    observer?.note?.(
      `${out} is finished: ${early ? `it stopped early, after step ${done.step}` : `all ${done.step} steps are done`}`,
    );
    const validation = await lastValidation(`${out}/metrics.jsonl`);
    return {
      ...summaryOf(out, done),
      ...{ finished: true, stoppedEarly: early },
      ...(validation ? { lastValidation: validation } : {}),
    };
  }

  const run = await RunFolder.open(out, { resume });
  let from: TrainerState | undefined;
  try {
    from = await run.newestState();
    if (from && !saved)
      throw new LxmertError(
        'RUN_FOLDER',
        `${out} has checkpoints but no config.json to go on with; give another --out`,
      );
    if (from && saved) demandUnchanged(saved, config, out);
    if (resume && !from) observer?.note?.(`${out} has no checkpoint: the run starts over`);
    if (!from && config.init !== undefined) await lookForInitialWeights(config.init);
    return await runIn(run, { ...config, data: { ...config.data, folder } }, from, request, parts);
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error;
    // Nothing has changed: a checkpoint would hold what there is already, or what the seed gives.
    return summaryOf(out, from);
  } finally {
    await run.close();
  }
}

async function runIn(
  run: RunFolder,
  config: DescribedRun,
  from: TrainerState | undefined,
  { observer, signal }: RunControls,
  parts: PretrainParts,
): Promise<TrainSummary> {
  signal?.throwIfAborted();
  const data = await parts.openData(config, { observer, signal });
  try {
    signal?.throwIfAborted();
    if (config.tasks.on.includes('qa') && data.answers === undefined)
      observer?.note?.('the data have no answer table (all_ans.json): question answering is off');
    const { batchesPerEpoch } = data.source;
    const epochs = Math.ceil(totalSteps(config, batchesPerEpoch) / batchesPerEpoch);
    checkTaskMix(config.tasks, data.answers !== undefined, epochs).forEach((text) => observer?.note?.(text));
    const resolved = resolveRunConfig(config, data.facts);
    const model = await parts.openModel(resolved, observer);
    try {
      signal?.throwIfAborted();
      if (data.table) await loadFeatures(model, data.table, { observer, signal });
      if (!from) await initialize(model, resolved, data.answers, { observer, signal });
      signal?.throwIfAborted();
      await run.writeConfig({ ...resolved, out: run.path });
      const { source, answers, samples } = data;
      return await train({ config: resolved, run, model, source, answers, samples, from, observer, signal });
    } finally {
      await model.dispose();
    }
  } finally {
    await data.close();
  }
}

async function loadFeatures(
  model: PretrainModel,
  table: FeatureTable,
  { observer, signal }: RunControls,
): Promise<void> {
  const start = performance.now();
  await model.loadFeatures(table, { progress: observer?.loading, signal });
  const seconds = (performance.now() - start) / 1000;
  const number = (value: number) => value.toLocaleString('en-US', { maximumSignificantDigits: 4 });
  const megabytes = (rows: number) => `${number((2 * rows * table.featureDim) / 1e6)} MB`;
  const objects = (rows: number) => `${rows.toLocaleString('en-US')} objects`;
  observer?.note?.(
    `features of ${objects(table.rows)} are on the device: ${megabytes(table.rows)} of float16, loaded in ${number(seconds)} s` +
      (table.sharedRows > 0
        ? `; training and validation share ${objects(table.sharedRows)}, which saves ${megabytes(table.sharedRows)}`
        : ''),
  );
}

/** Weights from the seed, then from `init` where it is given. */
async function initialize(
  model: PretrainModel,
  { seed, init }: ResolvedRunConfig,
  answers: readonly string[] | undefined,
  { observer, signal }: RunControls,
): Promise<void> {
  await model.initialize(seed, signal);
  if (init === undefined) return;
  const taken = await loadInitialWeights(init, model, answers, signal);
  const rest = [...taken.missing, ...taken.misshapen];
  observer?.note?.(
    [
      `initial weights from ${init}: ${taken.loaded} of ${model.parameters.length} tensors`,
      ...(taken.answers ? [`rows of ${taken.answers.carried} of ${taken.answers.of} answers`] : []),
      ...(rest.length > 0 ? [`left as drawn: ${rest.join(', ')}`] : []),
      ...(taken.unexpected.length > 0 ? [`not used: ${taken.unexpected.join(', ')}`] : []),
    ].join('; '),
  );
}

/** Of a run that did not get to its next step, by its newest checkpoint. */
function summaryOf(out: string, state: TrainerState | undefined): TrainSummary {
  if (!state) return { step: 0, finished: false, stoppedEarly: false };
  const { step, schedule, best } = state;
  return {
    ...{ step, totalSteps: schedule.totalSteps, finished: false, stoppedEarly: false },
    checkpoint: new CheckpointStore(`${out}/checkpoints`, { keep: 1 }).path(step),
    ...(best ? { best } : {}),
  };
}

function demandUnchanged(saved: object, now: object, out: string): void {
  const changes = forbiddenChanges({ ...saved }, { ...now });
  if (changes.length > 0)
    throw new LxmertError(
      'BAD_CONFIG',
      `${out} cannot go on with other settings than it began with:\n  ${changes.join('\n  ')}\nLeave them out, or start another run with another --out`,
    );
}

function demandSetting(value: string | undefined, flag: string, what: string): string {
  if (value === undefined) throw new LxmertError('BAD_ARGUMENT', `--${flag} is missing: ${what}`);
  return value;
}

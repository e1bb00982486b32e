import { join } from 'node:path';
import { forbiddenChanges } from '../config/changes.js';
import { loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import { resolveRunConfig } from '../config/resolveConfig.js';
import type { ResolvedRunConfig } from '../config/runConfig.js';
import { toTransformersJson } from '../config/transformers.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import { LxmertError } from '../errors.js';
import { demandCount } from '../numbers.js';
import { entriesOf } from '../records.js';
import {
  checkpointFiles,
  demandSameAnswers,
  checkpointName,
  describeInitial,
  loadInitialWeights,
  lookForInitialWeights,
  totalSteps,
  train,
  trainInFolder,
} from '../train/index.js';
import type { RunControls, RunPlace, Training, TrainerState, TrainSummary } from '../train/index.js';
import type { DescribedRun, OpenedData, PretrainModel, PretrainParts } from './parts.js';
import { checkTaskMix, lossWeights } from './taskMix.js';
import { validate } from './validation.js';
import { demandSameVocabulary, vocabularyOf, vocabularyText } from './vocabulary.js';
import { byteSize, counted, figure } from '../figures.js';

export interface PretrainRequest extends RunControls {
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Continue from the newest checkpoint of the run folder; start from step 0 if there is none. */
  readonly resume?: boolean | undefined;
}

/**
 * Pre-trains with the settings of a run until the run is finished or the signal ends it.
 * @throws BAD_ARGUMENT (a flag, or impossible sizes in the data), BAD_CONFIG (the settings, or a difference from those
 *   of the resumed run), RUN_FOLDER, and the errors of data, model and trainer
 */
export async function pretrain(request: PretrainRequest, parts: PretrainParts): Promise<TrainSummary> {
  const { sources, observer, signal, saveRequest, ranks, resume = false } = request;
  const described = await loadRunConfig(sources);
  return trainInFolder<DescribedRun>({
    ...{ observer, signal, saveRequest, ranks, resume },
    out: demandSetting(described.out, 'out', 'the run folder'),
    describe: async (saved) => {
      const config = saved ? await loadRunConfig({ ...sources, saved }) : described;
      const folder = demandSetting(config.data.folder, 'data', 'the data folder');
      return { ...config, data: { ...config.data, folder } };
    },
    changes: (saved, now) => forbiddenChanges(saved, { ...now }),
    check: async ({ init }) => {
      if (init !== undefined) await lookForInitialWeights(init);
    },
    train: (config, run, from) => pretrainIn(run, config, from, request, parts),
  });
}

async function pretrainIn(
  run: RunPlace,
  config: DescribedRun,
  from: TrainerState | undefined,
  { observer, signal, saveRequest, ranks }: RunControls,
  parts: PretrainParts,
): Promise<TrainSummary> {
  signal?.throwIfAborted();
  const checkpoint = from && join(run.checkpoints, checkpointName(from.step));
  const vocabulary = await vocabularyOf(config, checkpoint, observer);
  const described = { ...config, data: { ...config.data, vocabulary } };
  const data = await parts.openData(described, { observer, signal, ranks });
  const { answers, source, samples, samplesDifference, table, facts, unlabelled, largest } = data;
  try {
    signal?.throwIfAborted();
    if (checkpoint !== undefined) await demandSameVocabulary(checkpoint, data.vocabulary);
    const { batchesPerEpoch } = source;
    demandCount('batchesPerEpoch of the data source', batchesPerEpoch);
    for (const [name, value] of entriesOf<unknown>({ ...facts })) demandCount(`facts.${name}`, value);
    const hasAnswers = answers !== undefined;
    if (config.tasks.on.includes('qa') && !hasAnswers)
      observer?.note?.('the data have no answer table (all_ans.json): question answering is off');
    const epochs = Math.ceil(totalSteps(config, batchesPerEpoch) / batchesPerEpoch);
    checkTaskMix(config.tasks, hasAnswers, epochs, unlabelled).forEach((text) => observer?.note?.(text));
    const resolved = resolveRunConfig(config, facts);
    const model = await parts.openModel(resolved, observer);
    try {
      signal?.throwIfAborted();
      demandRoom(model, largest);
      if (table) await loadFeatures(model, table, { observer, signal });
      if (from) await demandSameAnswers(run, from, answers);
      else await initialize(model, resolved, answers, { observer, signal });
      signal?.throwIfAborted();
      const weights = (epoch: number) => lossWeights(config.tasks, epoch, hasAnswers);
      const validateIn: Training['validate'] = (epoch, controls) =>
        validate(model, source, weights(epoch), { ...controls, ranks });
      const files = {
        [checkpointFiles.config]: toTransformersJson(resolved.model, config.tasks),
        [checkpointFiles.answers]: answers && `${JSON.stringify(answers)}\n`,
        [checkpointFiles.vocabulary]: data.vocabulary && vocabularyText(data.vocabulary),
      };
      const training = {
        ...{ model, source, samples, samplesDifference, weights },
        validate: config.data.valid.length === 0 ? undefined : validateIn,
        files: Object.fromEntries(entriesOf<string>(files)),
      };
      const description = { ...resolved, out: run.path };
      return await train({
        settings: resolved,
        training,
        run,
        description,
        from,
        observer,
        signal,
        saveRequest,
        ranks,
      });
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
  const size = (rows: number) => byteSize(2 * rows * table.featureDim);
  const objects = (rows: number) => counted(rows, 'object');
  observer?.note?.(
    `features of ${objects(table.rows)} are on the device: ${size(table.rows)} of float16, loaded in ${figure(seconds)} s` +
      (table.sharedRows > 0
        ? `; training and validation share ${objects(table.sharedRows)}, which saves ${size(table.sharedRows)}`
        : ''),
  );
}

/** @throws BAD_DATA if a sample has more tokens or objects than the device's attention allows */
function demandRoom({ mostRows = Infinity }: PretrainModel, largest: OpenedData['largest']): void {
  for (const [what, { count, where }] of entriesOf(largest ?? {}))
    if (count > mostRows)
      throw new LxmertError(
        'BAD_DATA',
        `${where} has ${count} ${what}; this device computes at most ${mostRows} a sample`,
      );
}

/** Draws the weights from the seed, and then loads those of `init` if it is given. */
async function initialize(
  model: PretrainModel,
  { seed, init, allowMissing }: ResolvedRunConfig,
  answers: readonly string[] | undefined,
  { observer, signal }: RunControls,
): Promise<void> {
  await model.initialize(seed, signal);
  if (init === undefined) return;
  const taken = await loadInitialWeights(init, model, answers, signal, allowMissing);
  describeInitial(init, model, taken).forEach((text) => observer?.note?.(text));
}

function demandSetting(value: string | undefined, flag: string, what: string): string {
  if (value === undefined) throw new LxmertError('BAD_ARGUMENT', `--${flag} is missing: ${what}`);
  return value;
}

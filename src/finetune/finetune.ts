import { forbiddenChanges } from '../config/changes.js';
import { finetuneSettings } from '../config/fields.js';
import { loadFinetuneConfig, type ConfigSources } from '../config/loadConfig.js';
import type { ResolvedFinetuneConfig } from '../config/finetuneConfig.js';
import { toTransformersJson } from '../config/transformers.js';
import { LxmertError } from '../errors.js';
import {
  checkpointFiles,
  demandSameAnswers,
  train,
  trainInFolder,
  type RunControls,
  type RunPlace,
  type TrainerState,
  type TrainSummary,
  type ValidationControls,
} from '../train/index.js';
import { describeTaken, initialModelConfig, takeInitialWeights } from './initialWeights.js';
import type { Finetuner } from './finetuner.js';
import { answerWeights } from './objective.js';
import {
  openFinetuneData,
  openFinetuner,
  resolveFinetune,
  type DescribedFinetune,
  type OpenedQuestions,
} from './openRun.js';
import { formatTask, taskFile, vocabularyFile, vocabularyIn } from './taskFile.js';
import { validate } from './validation.js';

export interface FinetuneRequest extends RunControls {
  /** The sources of the settings. The setting `task` gives the form of the questions. */
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Continue from the newest checkpoint of the run folder; start from step 0 if there is none. */
  readonly resume?: boolean;
}

/**
 * Fine-tunes a model as the description says, until the run is finished or the signal ends it.
 * @throws BAD_ARGUMENT, BAD_CONFIG (an invalid description, or one that differs from that of the resumed run),
 *   RUN_FOLDER, and the errors of data, model and trainer
 */
export async function finetune(request: FinetuneRequest): Promise<TrainSummary> {
  const { sources, observer, signal, saveRequest, ranks, resume = false } = request;
  const described = await loadFinetuneConfig(sources);
  return trainInFolder<DescribedFinetune>({
    ...{ observer, signal, saveRequest, ranks, resume },
    out: demandSetting(described.out, 'out', 'the run folder'),
    describe: async (saved) => {
      const config = saved ? await loadFinetuneConfig({ ...sources, saved }) : described;
      const folder = demandSetting(config.data.folder, 'data', 'the data folder');
      const vocabulary = config.data.vocabulary ?? (config.from === undefined ? undefined : vocabularyIn(config.from));
      return { ...config, data: { ...config.data, folder, vocabulary } };
    },
    changes: (saved, now) => forbiddenChanges(saved, { ...now }, finetuneSettings.fields),
    check: async ({ from, model }) => {
      if (from !== undefined) await initialModelConfig(from, model.numAttentionHeads);
    },
    train: (config, run, from) => finetuneIn(run, config, from, request),
  });
}

async function finetuneIn(
  run: RunPlace,
  config: DescribedFinetune,
  from: TrainerState | undefined,
  { observer, signal, saveRequest, ranks }: RunControls,
): Promise<TrainSummary> {
  signal?.throwIfAborted();
  const data = await openFinetuneData(config, { observer, signal, ranks });
  const { answers, source, samples, samplesDifference, table, pictures, validWithoutFeatures } = data;
  try {
    signal?.throwIfAborted();
    const resolved = await resolveFinetune(from ? { ...config, from: undefined } : config, data);
    const model = await openFinetuner(resolved, pictures, observer);
    try {
      signal?.throwIfAborted();
      if (table) await model.loadFeatures(table, { progress: observer?.loading, signal });
      if (from) await demandSameAnswers(run, from, answers, 'from');
      else await initialize(model, config, answers, { observer, signal });
      signal?.throwIfAborted();
      const training = {
        ...{ model, source, samples, samplesDifference, weights: () => answerWeights },
        validate:
          config.data.valid.length === 0
            ? undefined
            : (_: number, controls: ValidationControls) =>
                validate(model, source, validWithoutFeatures, { ...controls, ranks }),
        files: checkpointTexts(resolved, data),
      };
      const description = { ...resolved, from: config.from, out: run.path };
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

/** The text files of a checkpoint, which are stored beside the weights. */
function checkpointTexts(
  { model, task, loss, data }: ResolvedFinetuneConfig,
  { answers, pictures, vocabulary }: OpenedQuestions,
): Record<string, string> {
  const trained = { on: ['qa'], visualLosses: [] } as const;
  return {
    [checkpointFiles.config]: toTransformersJson(model, trained, 'LxmertForQuestionAnswering'),
    [checkpointFiles.answers]: `${JSON.stringify(answers)}\n`,
    [taskFile]: formatTask({ task, pictures, loss, maxTokens: data.maxTokens }),
    ...(vocabulary === undefined ? {} : { [vocabularyFile]: vocabulary }),
  };
}

/** Draws random weights from the seed, then loads weights from `from`, if it is given. */
async function initialize(
  model: Finetuner,
  { seed, from, allowMissing }: DescribedFinetune,
  answers: readonly string[],
  { observer, signal }: RunControls,
): Promise<void> {
  await model.initialize(seed, signal);
  if (from === undefined) {
    observer?.note?.('--from is not given: all weights are random');
    return;
  }
  const taken = await takeInitialWeights(from, model, answers, { allowMissing, signal });
  describeTaken(from, model, taken).forEach((text) => observer?.note?.(text));
}

function demandSetting(value: string | undefined, flag: string, what: string): string {
  if (value === undefined) throw new LxmertError('BAD_ARGUMENT', `--${flag} is missing: ${what}`);
  return value;
}

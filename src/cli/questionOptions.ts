import type { Argv } from 'yargs';
import { finetuneTasks } from '../config/finetuneConfig.js';
import { deviceNames, precisionNames } from '../config/runConfig.js';
import type { PredictRequest } from '../finetune/predict.js';
import type { Ranks } from '../distributed/index.js';
import { integerOption, note, threadsOption } from './command.js';
import { sharingOptions } from './rankOptions.js';
import { whole } from './trainProgress.js';

/** What `evaluate` and `predict` have in common: a model, questions, and where it is computed. */

export const withQuestionOptions = <T>(yargs: Argv<T>) =>
  yargs
    .positional('task', { choices: finetuneTasks, demandOption: true, describe: 'what kind of questions' })
    .option('checkpoint', {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'checkpoint folder, a run, whose best checkpoint is taken, or weights of any form that --init takes',
    })
    .option('data', { type: 'string', demandOption: true, requiresArg: true, describe: 'data folder' })
    .option('split', {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'split, or several with commas between',
    })
    .option(
      'limit',
      integerOption('limit', { min: 1, describe: 'take only the first so many questions of each split' }),
    )
    .option(
      'batch-size',
      integerOption('batch-size', { min: 1, default: 32, describe: 'questions that the device takes at once' }),
    )
    .option(
      'workers',
      integerOption('workers', { min: 0, max: 256, describe: 'threads that prepare batches, 0: none' }),
    )
    .option('answers', {
      type: 'string',
      requiresArg: true,
      describe: 'answers of the model, by row: a list, or a folder with one; those beside the weights unless given',
    })
    .option(
      'attention-heads',
      integerOption('attention-heads', {
        min: 1,
        describe: 'of weights without a config.json; hidden size / 64 unless given',
      }),
    )
    .option('vocabulary', {
      type: 'string',
      requiresArg: true,
      describe: "a BERT vocab.txt; the checkpoint's own, else bert-base-uncased's unless given",
    })
    .option('device', { choices: deviceNames, default: 'auto' as const, describe: 'where to compute' })
    .option('precision', { choices: precisionNames, default: 'float32' as const, describe: 'of matrix products' })
    .option('threads', threadsOption)
    .options(sharingOptions);

interface QuestionArguments extends Pick<
  PredictRequest,
  'task' | 'checkpoint' | 'data' | 'limit' | 'workers' | 'vocabulary' | 'attentionHeads'
> {
  readonly split: string;
  readonly answers?: string | undefined;
  readonly batchSize: number;
  readonly device: (typeof deviceNames)[number];
  readonly precision: (typeof precisionNames)[number];
  readonly threads: number;
}

/** The arguments as `predict` takes them; progress goes to stderr every few seconds, from rank 0. */
export function questionRequest(args: QuestionArguments, ranks: Ranks | undefined): PredictRequest {
  const { task, checkpoint, data, split, limit, batchSize, workers, vocabulary, device, precision, threads } = args;
  const { answers, attentionHeads } = args;
  let told = performance.now();
  return {
    ...{ task, checkpoint, data, limit, batchSize, workers, vocabulary, answers, attentionHeads },
    splits: split.split(',').map((name) => name.trim()),
    engine: { device, precision, threads: threads === 0 ? undefined : threads, onNote: note },
    ...{ ranks, signal: ranks?.signal },
    progress: (done, of) => {
      if (ranks && ranks.rank > 0) return;
      if (performance.now() - told < 5000) return;
      told = performance.now();
      note(`${whole(done)} of ${whole(of)} questions`);
    },
  };
}

import type { Argv } from 'yargs';
import { finetuneTasks } from '../config/finetuneConfig.js';
import { type deviceNames, precisionNames } from '../config/runConfig.js';
import type { PredictRequest } from '../finetune/predict.js';
import type { Ranks } from '../distributed/index.js';
import { integerOption, note, threadsOption } from './command.js';
import { sharingOptions } from './rankOptions.js';
import { whole } from './trainProgress.js';
import { modelOptions } from './modelOptions.js';

/** Options of both `evaluate` and `predict`: a model, questions, and a device. */

export const withQuestionOptions = <T>(yargs: Argv<T>) =>
  yargs
    .positional('task', { choices: finetuneTasks, demandOption: true, describe: 'form of the questions' })
    .option('checkpoint', {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'checkpoint folder, a run (its best checkpoint is used), or weights of any form that --init reads',
    })
    .option('data', { type: 'string', demandOption: true, requiresArg: true, describe: 'data folder' })
    .option('split', {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'one split, or several splits with commas between them',
    })
    .option(
      'limit',
      integerOption('limit', { min: 1, describe: 'use only this number of questions of each split, from its start' }),
    )
    .option(
      'batch-size',
      integerOption('batch-size', { min: 1, default: 32, describe: 'questions that the device computes at once' }),
    )
    .option(
      'workers',
      integerOption('workers', { min: 0, max: 256, describe: 'threads that prepare batches, 0: none' }),
    )
    .options(modelOptions)
    .option('precision', {
      choices: precisionNames,
      default: 'float32' as const,
      describe: 'precision of matrix products',
    })
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

/** Converts the arguments to a request for `predict`. Progress of rank 0 goes to stderr every few seconds. */
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

import type { Argv } from 'yargs';
import { finetuneTasks } from '../config/finetuneConfig.js';
import { deviceNames, precisionNames } from '../config/runConfig.js';
import type { PredictRequest } from '../finetune/predict.js';
import type { Ranks } from '../distributed/index.js';
import { integerOption, note, threadsOption } from './command.js';
import { sharingOptions } from './rankOptions.js';
import { whole } from './trainProgress.js';

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
    .option('answers', {
      type: 'string',
      requiresArg: true,
      describe: 'answers of the model, by row: a list, or a folder with a list; default: the list beside the weights',
    })
    .option(
      'attention-heads',
      integerOption('attention-heads', {
        min: 1,
        describe: 'number of attention heads, for weights without a config.json; default: hidden size / 64',
      }),
    )
    .option('vocabulary', {
      type: 'string',
      requiresArg: true,
      describe: 'a BERT vocab.txt; default: that of the checkpoint, or of bert-base-uncased',
    })
    .option('device', { choices: deviceNames, default: 'auto' as const, describe: 'where to compute' })
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

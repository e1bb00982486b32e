import type { FinetuneTask } from '../config/finetuneConfig.js';
import { evaluate, predict } from '../finetune/index.js';
import { writePredictions } from '../finetune/predictions/index.js';
import { defineCommand, jsonOption, note, print, printJson } from './command.js';
import { questionRequest, withQuestionOptions } from './questionOptions.js';
import { inRanks } from './rankProcess.js';
import { scoreTable } from './scoreTable.js';
import { whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'evaluate <task>',
  describe: 'score a model on questions with labels',
  builder: (yargs) =>
    withQuestionOptions(yargs)
      .option('skip-missing', {
        type: 'boolean',
        default: false,
        describe: 'leave out questions without features; otherwise they count as wrong',
      })
      .option('predictions', {
        type: 'string',
        requiresArg: true,
        describe: 'also write the predictions, in the official form',
      })
      .option('json', jsonOption),
  handler: (args) =>
    inRanks(
      args,
      async (ranks) => {
        const request = { ...questionRequest(args, ranks), labelled: true };
        // The other ranks make only their part of the predictions. Rank 0 has all predictions.
        if (ranks && ranks.rank > 0) await predict(request);
        else return evaluate({ ...request, skipMissing: args.skipMissing });
        return undefined;
      },
      async (scored) => {
        if (scored) await tell(args, scored);
      },
    ),
});

async function tell(
  { task, skipMissing, predictions: file, json }: TellOptions,
  { evaluation, predicted }: Awaited<ReturnType<typeof evaluate>>,
): Promise<void> {
  const { withoutFeatures } = evaluation;
  if (withoutFeatures > 0)
    note(
      `${whole(withoutFeatures)} of ${whole(predicted.questions)} questions have no features of a picture (such as ` +
        `${predicted.missingImage}); they ${skipMissing ? 'are left out' : 'count as wrong'}`,
    );
  if (file !== undefined) await writePredictions(task, file, predicted.predictions);
  if (json) printJson({ ...evaluation, ...(file === undefined ? {} : { predictions: file }) });
  else scoreTable(evaluation).forEach(print);
}

interface TellOptions {
  readonly task: FinetuneTask;
  readonly skipMissing: boolean;
  readonly predictions?: string | undefined;
  readonly json: boolean;
}

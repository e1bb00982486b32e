import type { FinetuneTask } from '../config/finetuneConfig.js';
import { predict, type Predicted } from '../finetune/index.js';
import { writePredictions } from '../finetune/predictions/index.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { questionRequest, withQuestionOptions } from './questionOptions.js';
import { inRanks } from './rankProcess.js';
import { figure, whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'predict <task>',
  describe: 'answer questions and write a prediction file in the official form',
  builder: (yargs) =>
    withQuestionOptions(yargs)
      .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: 'file to write' })
      .option(
        'top',
        integerOption('top', {
          min: 1,
          describe: 'also write this number of answers with their probabilities; not for nlvr2',
        }),
      )
      .option('json', jsonOption),
  handler: (args) =>
    inRanks(
      args,
      (ranks) => predict({ ...questionRequest(args, ranks), top: args.top }),
      (predicted) => tell(args, predicted),
    ),
});

async function tell(
  { task, out, json }: { readonly task: FinetuneTask; readonly out: string; readonly json: boolean },
  { predictions, questions, withoutFeatures, missingImage, questionsPerSecond }: Predicted,
): Promise<void> {
  await writePredictions(task, out, predictions);
  if (withoutFeatures > 0)
    note(
      `${whole(withoutFeatures)} of ${whole(questions)} questions have no features of a picture (such as ${missingImage}) ` +
        'and no prediction',
    );
  if (json) printJson({ out, questions, predictions: predictions.length, withoutFeatures, questionsPerSecond });
  else print(`${out}: ${whole(predictions.length)} predictions, ${figure(questionsPerSecond)} a second`);
}

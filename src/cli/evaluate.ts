import { evaluate } from '../finetune/index.js';
import { writePredictions } from '../finetune/predictions/index.js';
import { defineCommand, jsonOption, note, print, printJson } from './command.js';
import { questionRequest, withQuestionOptions } from './questionOptions.js';
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
  handler: async (args) => {
    const { task, skipMissing, predictions: file, json } = args;
    const { evaluation, predicted } = await evaluate({ ...questionRequest(args), skipMissing });
    const { withoutFeatures } = evaluation;
    if (withoutFeatures > 0)
      note(
        `${whole(withoutFeatures)} of ${whole(predicted.questions)} questions have no features of a picture (such as ` +
          `${predicted.missingImage}); they ${skipMissing ? 'are left out' : 'count as wrong'}`,
      );
    if (file !== undefined) await writePredictions(task, file, predicted.predictions);
    if (json) printJson({ ...evaluation, ...(file === undefined ? {} : { predictions: file }) });
    else scoreTable(evaluation).forEach(print);
  },
});

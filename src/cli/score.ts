import { questionTasks } from '../finetune/questions/index.js';
import { scoreFile } from '../finetune/scores/index.js';
import { defineCommand, jsonOption, note, print, printJson } from './command.js';
import { scoreTable } from './scoreTable.js';
import { whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'score <task>',
  describe: 'score a prediction file of any model, as the official programs do',
  builder: (yargs) =>
    yargs
      .positional('task', { choices: questionTasks, demandOption: true, describe: 'form of the questions' })
      .option('labels', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe:
          'questions with labels, or official VQA annotations; or two files with a comma between them: QUESTIONS,ANNOTATIONS',
      })
      .option('predictions', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'prediction file in the official form: JSON for vqa, gqa and qa, CSV for nlvr2',
      })
      .option('missing-wrong', {
        type: 'boolean',
        default: false,
        describe: 'score questions without a prediction as wrong; otherwise they are an error',
      })
      .option('json', jsonOption),
  handler: async ({ task, labels, predictions, missingWrong, json }) => {
    const score = await scoreFile({ task, labels, predictions, missing: missingWrong ? 'wrong' : 'refuse' });
    if (score.unknown > 0) {
      note(
        `${predictions}: ${whole(score.unknown)} predictions are for questions that are not in ${labels}; they were left out`,
      );
    }
    if (score.missing > 0)
      note(`${predictions}: ${whole(score.missing)} questions have no prediction; they count as wrong`);
    if (json) printJson(score);
    else scoreTable(score).forEach(print);
  },
});

import { finetuneTasks } from '../config/finetuneConfig.js';
import { finetune } from '../finetune/index.js';
import { defineCommand } from './command.js';
import { finetuneFlags, runSources, withRunFlags } from './runFlags.js';
import { runTraining, trainOptions } from './trainCommand.js';

export const command = defineCommand({
  command: 'finetune <task>',
  describe: 'fine-tune a model on questions: VQA, GQA, NLVR2, or data of your own',
  builder: (yargs) =>
    withRunFlags(yargs, finetuneFlags)
      .positional('task', { choices: finetuneTasks, demandOption: true, describe: 'form of the questions' })
      .options(trainOptions)
      .group(Object.keys(trainOptions), 'Run:'),
  handler: (args) =>
    runTraining(args, (controls) =>
      finetune({ sources: runSources(args, finetuneFlags), resume: args.resume, ...controls }),
    ),
});

import { pretrain, pretrainParts } from '../pretrain/index.js';
import { defineCommand } from './command.js';
import { runSources, withRunFlags } from './runFlags.js';
import { runTraining, trainOptions } from './trainCommand.js';

export const command = defineCommand({
  command: 'pretrain',
  describe: 'pre-train a model',
  builder: (yargs) => withRunFlags(yargs).options(trainOptions).group(Object.keys(trainOptions), 'Run:'),
  handler: (args) =>
    runTraining(args, (controls) =>
      pretrain({ sources: runSources(args), resume: args.resume, ...controls }, pretrainParts),
    ),
});

import { deviceNames } from '../config/runConfig.js';
import { integerOption } from './command.js';

/** Options of the commands that open a trained model. */
export const modelOptions = {
  answers: {
    type: 'string',
    requiresArg: true,
    describe: 'answers of the model, by row: a list, or a folder with a list; default: the list beside the weights',
  },
  'attention-heads': integerOption('attention-heads', {
    min: 1,
    describe: 'number of attention heads, for weights without a config.json; default: hidden size / 64',
  }),
  vocabulary: {
    type: 'string',
    requiresArg: true,
    describe: 'a BERT vocab.txt; default: that of the checkpoint, or of bert-base-uncased',
  },
  device: { choices: deviceNames, default: 'auto' as const, describe: 'where to compute' },
} as const;

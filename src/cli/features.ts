import { defineCommand } from './command.js';
import { extract } from './featuresExtract.js';

export const command = defineCommand({
  command: 'features',
  describe: 'region features of pictures',
  builder: (yargs) => yargs.command(extract).demandCommand(1, 'features needs a command: extract'),
  handler: () => undefined,
});

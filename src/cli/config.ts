import { stringify } from 'yaml';
import { runJsonSchema } from '../config/jsonSchema.js';
import { loadRunConfig } from '../config/loadConfig.js';
import { configReference } from '../config/reference.js';
import { defineCommand, jsonOption, print, printJson } from './command.js';
import { runSources, withRunFlags } from './runFlags.js';

const views = ['show', 'schema', 'reference'] as const;

export const command = defineCommand({
  command: 'config <view>',
  describe: 'the settings of a run: resolved, as a JSON Schema, or as a reference',
  builder: (yargs) =>
    withRunFlags(yargs)
      .positional('view', {
        choices: views,
        demandOption: true,
        describe: 'show: the resolved settings (YAML); schema: for editors; reference: Markdown',
      })
      .option('json', { ...jsonOption, describe: 'print JSON instead of YAML (show)' }),
  handler: async (args) => {
    switch (args.view) {
      case 'schema':
        print(JSON.stringify(runJsonSchema(), null, 2));
        return;
      case 'reference':
        process.stdout.write(configReference());
        return;
      case 'show': {
        const config = await loadRunConfig(runSources(args));
        if (args.json) printJson(config);
        else process.stdout.write(stringify(config));
        return;
      }
    }
  },
});

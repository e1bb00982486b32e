import { stringify } from 'yaml';
import { finetuneJsonSchema, runJsonSchema } from '../config/jsonSchema.js';
import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import { configReference, finetuneReference } from '../config/reference.js';
import { defineCommand, jsonOption, print, printJson } from './command.js';
import { eitherRunSources, withEitherRunFlags } from './runFlags.js';

const views = ['show', 'schema', 'reference'] as const;

export const command = defineCommand({
  command: 'config <view> [task]',
  describe:
    'print the settings of pre-training, or of fine-tuning on TASK: resolved, as a JSON Schema, or as a reference',
  builder: (yargs) =>
    withEitherRunFlags(yargs, 'the run fine-tunes on these questions')
      .positional('view', {
        choices: views,
        demandOption: true,
        describe: 'show: the resolved settings (YAML); schema: for editors; reference: Markdown',
      })
      .option('json', { ...jsonOption, describe: 'print JSON instead of YAML (show)' }),
  handler: async (args) => {
    const { isFinetuning, sources } = eitherRunSources(args, `lxmert config ${args.view as string}`);
    switch (args.view) {
      case 'schema':
        print(JSON.stringify(isFinetuning ? finetuneJsonSchema() : runJsonSchema(), null, 2));
        return;
      case 'reference':
        process.stdout.write(isFinetuning ? finetuneReference() : configReference());
        return;
      case 'show': {
        const config = await (isFinetuning ? loadFinetuneConfig(sources) : loadRunConfig(sources));
        if (args.json) printJson(config);
        else process.stdout.write(stringify(config));
        return;
      }
    }
  },
});

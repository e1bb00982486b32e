import { escaped } from '../formats/shown.js';
import { listWeights } from '../weights/index.js';
import { defineCommand, jsonOption, note, print, printJson } from './command.js';

const list = defineCommand({
  command: 'list <file>',
  describe: 'list the tensors of a file or folder of weights: name, shape, type, SHA-256 of the values',
  builder: (yargs) =>
    yargs
      .positional('file', { type: 'string', demandOption: true, describe: 'file or folder, in any supported form' })
      .option('json', jsonOption),
  handler: async ({ file, json }) => {
    const { tensors, notes } = await listWeights(file);
    notes.forEach(note);
    if (json) {
      printJson({ tensors });
      return;
    }
    for (const { name, shape, dtype, sha256 } of tensors)
      print(`${sha256}  ${dtype.padEnd(4)}  ${`[${shape.join(', ')}]`.padEnd(14)}  ${escaped(name)}`);
  },
});

export const command = defineCommand({
  command: 'weights',
  describe: 'show the contents of a file of weights',
  builder: (yargs) => yargs.command(list).demandCommand(1, 'weights needs a command: list'),
  handler: () => undefined,
});

import { overlap } from '../data/samples/overlap.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { counted } from '../figures.js';
import { defineCommand, jsonOption, print, printJson } from './command.js';

const splitsOf = (text: string): string[] => text.split(',').map((name) => name.trim());

const overlapCommand = defineCommand({
  command: 'overlap',
  describe: 'list the images that are in both training and evaluation splits',
  builder: (yargs) =>
    yargs
      .option('data', { type: 'string', requiresArg: true, demandOption: true, describe: 'data folder' })
      .option('train', { type: 'string', requiresArg: true, default: 'train', describe: 'training splits' })
      .option('valid', { type: 'string', requiresArg: true, default: 'valid', describe: 'evaluation splits' })
      .option('mapping', {
        type: 'string',
        requiresArg: true,
        describe: "JSON from image id to COCO number, or Visual Genome's image_data.json",
      })
      .option('out', {
        type: 'string',
        requiresArg: true,
        describe: 'write the ids in training to this file, for --exclude',
      })
      .option('json', jsonOption),
  handler: async ({ data: dir, train, valid, mapping, out, json }) => {
    const report = await overlap({ dir, train: splitsOf(train), valid: splitsOf(valid), mapping });
    const { trainImages, validImages, shared } = report;
    if (out !== undefined) await writeFileAtomic(out, shared.map((one) => `${one.train}\n`).join(''));
    if (json) {
      printJson(report);
      return;
    }
    print(
      `${counted(shared.length, 'image')} of ${counted(trainImages, 'image')} of ${train} ${shared.length === 1 ? 'is' : 'are'} ` +
        `also among the ${counted(validImages, 'image')} of ${valid}`,
    );
    for (const one of shared) print(one.train === one.valid ? one.train : `${one.train}  ${one.valid}`);
  },
});

export const command = defineCommand({
  command: 'data',
  describe: 'compare data sets',
  builder: (yargs) => yargs.command(overlapCommand).demandCommand(1, 'data needs a command: overlap'),
  handler: () => undefined,
});

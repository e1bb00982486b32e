import { counted } from '../figures.js';
import { drawObjects } from '../pictures/index.js';
import { defineCommand, integerOption, jsonOption, print, printJson } from './command.js';

/** `lxmert features draw` */
export const draw = defineCommand({
  command: 'draw <store> <id>',
  describe: 'draw a picture with the boxes, classes and attributes of a feature store',
  builder: (yargs) =>
    yargs
      .positional('store', { type: 'string', demandOption: true, describe: 'folder of a feature store' })
      .positional('id', { type: 'string', demandOption: true, describe: 'id of an image of the store' })
      .option('picture', { type: 'string', demandOption: true, requiresArg: true, describe: 'the picture itself' })
      .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: '.svg or .png file' })
      .option('classes', {
        type: 'string',
        requiresArg: true,
        describe: 'names of the classes, a line each, as objects_vocab.txt of Visual Genome [numbers]',
      })
      .option('attributes', {
        type: 'string',
        requiresArg: true,
        describe: 'names of the attributes in the same form, as attributes_vocab.txt [numbers]',
      })
      .option('most', integerOption('most', { min: 1, describe: 'objects to draw, the most certain first [all]' }))
      .option('json', jsonOption),
  handler: async ({ store, id, json, ...options }) => {
    const { picture, out, classes, attributes, most } = options;
    const objects = await drawObjects(store, id, { picture, out, classes, attributes, most });
    if (json) return printJson({ out, objects });
    print(`${out}: ${counted(objects, 'object')}`);
  },
});

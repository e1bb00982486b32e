import { LxmertError } from '../errors.js';
import { byteSize, counted } from '../figures.js';
import { importDetector, recipes } from '../pictures/index.js';
import { check } from './detectorCheck.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';

/** The largest sides of pictures, and the largest numbers of boxes, for which a detector can be made. */
const maxSide = 16_384;
const maxBoxes = 100_000;

function thresholds(given: string | undefined): readonly number[] | undefined {
  if (given === undefined) return undefined;
  const values = given.split(',').map((text) => (text.trim() === '' ? NaN : Number(text)));
  if (values.every((value) => value > 0 && value <= 1)) return values;
  throw new LxmertError(
    'BAD_ARGUMENT',
    `--nms must be numbers above 0 and at most 1, with commas between them, not ${JSON.stringify(given)}`,
  );
}

const importCommand = defineCommand({
  command: 'import <weights>',
  describe: 'make one ONNX graph of the weights of a detector',
  builder: (yargs) =>
    yargs
      .positional('weights', {
        type: 'string',
        demandOption: true,
        describe:
          "for caffe a .caffemodel; for d2 and transformers a folder (config.yaml beside pytorch_model.bin or model.safetensors), a file of weights, or detectron2's pickle",
      })
      .option('recipe', {
        choices: recipes,
        demandOption: true,
        describe: 'how pictures are prepared and boxes chosen; docs/pictures.md says which weights belong to which',
      })
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: '.onnx file; one that is there is replaced',
      })
      .option('config', {
        type: 'string',
        requiresArg: true,
        describe: 'configuration in the form of transformers [for transformers: config.yaml beside the weights]',
      })
      .option(
        'min-size',
        integerOption('min-size', {
          min: 16,
          max: maxSide,
          describe: "pixels of a prepared picture's shorter side [of the configuration, else 800; d2 and caffe 600]",
        }),
      )
      .option(
        'max-size',
        integerOption('max-size', {
          min: 16,
          max: maxSide,
          describe: 'most pixels of its longer side [of the configuration, else 1333; d2 and caffe 1000]',
        }),
      )
      .option(
        'pre-nms',
        integerOption('pre-nms', {
          min: 1,
          max: maxBoxes,
          describe: 'proposals before suppression [of the configuration, else 6000]',
        }),
      )
      .option(
        'post-nms',
        integerOption('post-nms', {
          min: 1,
          max: maxBoxes,
          describe: 'proposals after it [of the configuration, else 300]',
        }),
      )
      .option('nms', {
        type: 'string',
        requiresArg: true,
        describe:
          'IoU of the last suppression; several are tried in turn [of the configuration, else 0.5,0.6,0.7; d2 0.3 to 0.9; caffe 0.3]',
      })
      .option('json', jsonOption),
  handler: async ({ weights, recipe, out, config, minSize, maxSize, preNms, postNms, nms, json }) => {
    const made = await importDetector(weights, out, {
      ...{ recipe, config, minSize, maxSize, preNms, postNms },
      nms: thresholds(nms),
    });
    made.notes.forEach(note);
    if (json) return printJson({ out, bytes: made.bytes, ...made.recipe });
    const { objects, attributes, featureDim, maxDetections } = made.recipe;
    print(
      `${out}: recipe ${recipe}, ${counted(objects, 'object class', 'object classes')}, ${counted(attributes, 'attribute')}, ` +
        `${counted(maxDetections, 'box', 'boxes')} of ${counted(featureDim, 'feature')}; ${byteSize(made.bytes)}`,
    );
  },
});

export const command = defineCommand({
  command: 'detector',
  describe: "others' picture detectors, to make features of pictures",
  builder: (yargs) =>
    yargs.command(importCommand).command(check).demandCommand(1, 'detector needs a command: import or check'),
  handler: () => undefined,
});

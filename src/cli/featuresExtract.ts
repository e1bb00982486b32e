import { counted, duration, figure } from '../figures.js';
import { storeDtypes } from '../data/store/index.js';
import { extractFeatures } from '../pictures/index.js';
import {
  defineCommand,
  integerOption,
  jsonOption,
  lastOf,
  note,
  numberOption,
  print,
  printJson,
  severalPositionals,
  threadsOption,
} from './command.js';

/** Milliseconds between two lines of progress. */
const interval = 10_000;

/** The largest number of objects of a picture. */
const maxObjectsOfAll = 100_000;

/** `lxmert features extract` */
export const extract = defineCommand({
  command: 'extract <pictures..>',
  describe: 'make features of pictures',
  builder: (yargs) =>
    yargs
      .parserConfiguration(severalPositionals)
      .positional('pictures', {
        type: 'string',
        array: true,
        demandOption: true,
        describe:
          'JPEG, PNG or WebP files, folders or zips of them, or globs in quotes; ids are file names without the ending',
      })
      .option('detector', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        coerce: lastOf,
        describe: '.onnx of `lxmert detector import`, or the YAML of an own detector',
      })
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        coerce: lastOf,
        describe:
          "feature store, or a .tsv file in the original's form; new. A run that was killed is continued by the same call",
      })
      .option('dtype', { choices: storeDtypes, default: 'float16' as const, describe: "of a store's features" })
      .option(
        'min-objects',
        integerOption('min-objects', {
          min: 1,
          max: maxObjectsOfAll,
          describe: 'least objects of a picture [of the detector: 36]; fewer are an error',
        }),
      )
      .option(
        'max-objects',
        integerOption('max-objects', {
          min: 1,
          max: maxObjectsOfAll,
          describe: 'most objects of a picture [of the detector: 36]',
        }),
      )
      .option(
        'threshold',
        numberOption('threshold', {
          min: 0,
          max: 1,
          describe: 'score from which on objects are taken, as far as the two numbers allow [of the detector: 0.2]',
        }),
      )
      .option(
        'grid',
        integerOption('grid', {
          min: 1,
          max: 64,
          describe: "N × N cells of a backbone's map instead of objects; for the YAML of a backbone",
        }),
      )
      .option(
        'workers',
        integerOption('workers', {
          min: 0,
          max: 256,
          default: 1,
          describe:
            'pictures at the same time; each takes the memory of a whole detector. 0: one, without a thread of its own',
        }),
      )
      .option('skip-bad', {
        type: 'boolean',
        default: false,
        describe: 'leave out pictures of which no features can be made; without it the first one is an error',
      })
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ pictures, out, json, ...given }) => {
    const { detector, dtype, skipBad, threads, workers, minObjects, maxObjects, threshold, grid } = given;
    let told = performance.now();
    const report = await extractFeatures(pictures, out, {
      ...{ detector, dtype, skipBad, threads, workers, minObjects, maxObjects, threshold, grid },
      onProgress: ({ done, pictures: all, secondsLeft }) => {
        if (performance.now() - told < interval || done === all) return;
        told = performance.now();
        note(`${done} of ${counted(all, 'picture')}, ${duration(secondsLeft)} left`);
      },
    });
    const { skipped, continued, picturesPerSecond } = report;
    skipped.forEach(({ reason }) => note(`skipped: ${reason}`));
    if (json)
      return printJson({ out, pictures: report.pictures, continued, skipped: skipped.length, picturesPerSecond });
    print(
      `${out}: ${counted(report.pictures, 'picture')}${continued > 0 ? `, ${continued} of them from before` : ''}` +
        `${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}; ${figure(picturesPerSecond)} a second`,
    );
  },
});

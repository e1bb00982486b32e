import { LxmertError } from '../errors.js';
import { counted, duration, figure } from '../figures.js';
import { extractFeatures } from '../pictures/index.js';
import {
  defineCommand,
  jsonOption,
  lastOf,
  note,
  print,
  printJson,
  severalPositionals,
  threadsOption,
} from './command.js';

/** Milliseconds between two lines of progress. */
const interval = 10_000;

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
        describe: 'JPEG, PNG or WebP files, or folders of them; ids are file names without the ending',
      })
      .option('detector', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        coerce: lastOf,
        describe: '.onnx of `lxmert detector import`',
      })
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        coerce: lastOf,
        describe: ".tsv file, new: the original's form. A run that was killed is continued by the same call",
      })
      .option('skip-bad', {
        type: 'boolean',
        default: false,
        describe: 'leave out pictures of which no features can be made; without it the first one is an error',
      })
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ pictures, detector, out, skipBad, threads, json }) => {
    if (!out.endsWith('.tsv'))
      throw new LxmertError('BAD_ARGUMENT', `--out must be the name of a .tsv file, not ${JSON.stringify(out)}`);
    let told = performance.now();
    const report = await extractFeatures(pictures, out, {
      ...{ detector, skipBad, threads },
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

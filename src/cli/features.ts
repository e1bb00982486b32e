import { storeDtypes } from '../data/store/storeForm.js';
import { byteSize, counted, figure } from '../formats/numbers.js';
import { formNames, formTitles, importFeatures } from '../imports/index.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { importProgress } from './importProgress.js';

const importCommand = defineCommand({
  command: 'import <from..>',
  describe: 'feature files of any known form into a feature store',
  builder: (yargs) =>
    yargs
      .positional('from', { type: 'string', array: true, demandOption: true, describe: 'files or folders, in order' })
      .option('out', { type: 'string', requiresArg: true, demandOption: true, describe: 'folder of the store, new' })
      .option('dtype', { choices: storeDtypes, default: 'float16' as const, describe: 'of the features' })
      .option('format', {
        choices: formNames,
        describe: `form of the files [recognised by looking]: ${formNames.map((form) => `${form}: ${formTitles[form]}`).join('; ')}`,
      })
      .option('skip-bad', {
        type: 'boolean',
        default: false,
        describe: 'leave bad records out and note them in the manifest; without it the first one is an error',
      })
      .option('classes', integerOption('classes', { min: 1, max: 1_000_000, default: 1600, describe: 'object classes' }))
      .option(
        'attributes',
        integerOption('attributes', { min: 1, max: 1_000_000, default: 400, describe: 'attribute classes' }),
      )
      .option(
        'shard-size',
        integerOption('shard-size', { min: 1, max: 100_000, default: 512, describe: 'MiB of features of one file' }),
      )
      .option('json', jsonOption),
  handler: async ({ from, out, json, classes, attributes, shardSize, ...options }) => {
    const progress = importProgress();
    const report = await importFeatures(from, out, {
      ...{ dtype: options.dtype, format: options.format, skipBad: options.skipBad },
      ...{ objectLabels: classes, attributeLabels: attributes, shardBytes: shardSize * 2 ** 20 },
      ...{ onNote: note, onProgress: progress.show },
    }).finally(() => progress.end());
    const { manifest, seconds, sourceBytes } = report;
    const { images, objects, featureDim, dtype, skipped } = manifest;
    const bytes = manifest.shards.reduce((sum, shard) => sum + shard.bytes, manifest.index.bytes);
    const megabytesPerSecond = sourceBytes / 1e6 / seconds;
    const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
    if (json) {
      printJson({ images, bytes, megabytesPerSecond, peakMemoryBytes, skipped: skipped.length });
      return;
    }
    print(
      `${out}: ${counted(images, 'image')}, ${counted(objects, 'object')} of ${featureDim} ${dtype}, ${byteSize(bytes)}; ` +
        `${figure(megabytesPerSecond)} MB/s of ${report.forms.join(', ')}, ${byteSize(peakMemoryBytes)} of memory at most`,
    );
    for (const { reason } of skipped.slice(0, 10)) print(`  skipped: ${reason}`);
    if (skipped.length > 10) print(`  … ${counted(skipped.length - 10, 'more record')} skipped; all are in the manifest`);
  },
});

export const command = defineCommand({
  command: 'features',
  describe: 'feature stores: made of feature files of any known form',
  builder: (yargs) => yargs.command(importCommand).demandCommand(1, 'features needs a command: import'),
  handler: () => undefined,
});

import { exportTsv, mergeStores, storeDtypes, storeInfo, verifyStore } from '../data/store/index.js';
import type { ImageLook, StoreInfo } from '../data/store/index.js';
import { LxmertError } from '../errors.js';
import { byteSize, counted, figure, percent, whole } from '../figures.js';
import { formNames, formTitles, importFeatures } from '../imports/index.js';
import {
  defineCommand,
  integerOption,
  jsonOption,
  lastOf,
  note,
  print,
  printJson,
  severalPositionals,
} from './command.js';
import { draw } from './featuresDraw.js';
import { extract } from './featuresExtract.js';
import { importProgress } from './importProgress.js';

const importCommand = defineCommand({
  command: 'import <from..>',
  describe: 'feature files of any known form into a feature store',
  builder: (yargs) =>
    yargs
      .parserConfiguration(severalPositionals)
      .positional('from', { type: 'string', array: true, demandOption: true, describe: 'files or folders, in order' })
      .option('out', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        coerce: lastOf,
        describe: 'folder of the store, new',
      })
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
      .option(
        'classes',
        integerOption('classes', { min: 1, max: 1_000_000, default: 1600, describe: 'object classes' }),
      )
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
    if (skipped.length > 10)
      print(`  … ${counted(skipped.length - 10, 'more record')} skipped; all are in the manifest`);
  },
});

const storePositional = { type: 'string', demandOption: true, describe: 'folder of a feature store' } as const;

const exportCommand = defineCommand({
  command: 'export <store>',
  describe: "a feature store as the original's TSV",
  builder: (yargs) =>
    yargs
      .positional('store', storePositional)
      .option('out', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'file; one that is there is replaced',
      })
      .option('json', jsonOption),
  handler: async ({ store, out, json }) => {
    const report = await exportTsv(store, out);
    report.warnings.forEach((warning) => note(`warning: ${warning}`));
    if (json) printJson(report);
    else print(`${out}: ${counted(report.images, 'image')}, ${byteSize(report.bytes)}`);
  },
});

const info = defineCommand({
  command: 'info <store>',
  describe: 'what a feature store holds: counts, width, objects an image, a look at one image',
  builder: (yargs) =>
    yargs
      .positional('store', storePositional)
      .option('image', { type: 'string', requiresArg: true, describe: 'id of an image to look at' })
      .option('json', jsonOption),
  handler: async ({ store, image, json }) => {
    const found = await storeInfo(store, image);
    if (json) printJson(found);
    else infoLines(store, found).forEach(print);
  },
});

function infoLines(store: string, { manifest, bytes, objectsPerImage, image }: StoreInfo): string[] {
  const { images, objects, featureDim, dtype, has, skipped, shards, sources } = manifest;
  const all = Object.entries(has).map(([name, count]) => `${name} ${count === images ? 'all' : whole(count)}`);
  const most = Math.max(...objectsPerImage.map(([, count]) => count));
  return [
    `${store}: ${counted(images, 'image')}, ${counted(objects, 'object')} of ${featureDim} ${dtype}, ${byteSize(bytes)} in ${counted(shards.length, 'shard')}`,
    `made of: ${sources.map(({ form, files }) => `${form} ${files.map(({ name }) => name).join(', ')}`).join('; ')}`,
    `images that have: ${all.join(', ')}; boxes as shares of the picture: ${whole(manifest.boxesAsShares)}`,
    ...(skipped.length > 0 ? [`skipped by the import: ${counted(skipped.length, 'record')}`] : []),
    'objects  images',
    ...histogram(objectsPerImage).map(
      ([range, count]) =>
        `${range.padStart(7)}  ${whole(count).padStart(6)}  ${percent(count / images).padStart(7)}  ${'#'.repeat(Math.round((30 * count) / Math.max(most, count)))}`,
    ),
    ...(image ? imageLines(image) : []),
  ];
}

/** The table has at most 20 rows. If there are more numbers, neighbouring numbers are joined to one row. */
function histogram(counts: StoreInfo['objectsPerImage']): (readonly [string, number])[] {
  if (counts.length <= 20) return counts.map(([objects, images]) => [String(objects), images]);
  const [least, largest] = [counts[0][0], counts[counts.length - 1][0]];
  const step = Math.ceil((largest - least + 1) / 20);
  const rows = new Map<number, number>();
  for (const [objects, images] of counts) {
    const row = Math.floor((objects - least) / step);
    rows.set(row, (rows.get(row) ?? 0) + images);
  }
  return [...rows].map(([row, images]) => [`${least + row * step}-${least + (row + 1) * step - 1}`, images]);
}

function imageLines({ id, place, width, height, objects }: ImageLook): string[] {
  const shown = (id: number | undefined, conf: number | undefined) =>
    `${(id === undefined ? '-' : String(id)).padStart(6)} ${(conf === undefined ? '-' : conf.toFixed(3)).padStart(6)}`;
  return [
    `${id}: ${width === undefined ? 'size not known' : `${width} x ${height}`}, ${counted(objects.length, 'object')}, ${place}`,
    ' class   conf   attr   conf    norm  box',
    ...objects.map(
      ({ box, objectId, objectConf, attrId, attrConf, norm }) =>
        `${shown(objectId, objectConf)} ${shown(attrId, attrConf)} ${norm.toFixed(2).padStart(7)}  ${box.map((x) => Number(x.toFixed(3))).join(', ')}`,
    ),
  ];
}

const verify = defineCommand({
  command: 'verify <store>',
  describe: 'compare the checksum of every file of a feature store',
  builder: (yargs) => yargs.positional('store', storePositional).option('json', jsonOption),
  handler: async ({ store, json }) => {
    const report = await verifyStore(store);
    if (json) printJson(report);
    if (report.faults.length > 0)
      throw new LxmertError('BAD_DATA', `${store}: is damaged:\n  ${report.faults.join('\n  ')}`);
    if (!json) print(`${store}: whole; ${counted(report.images, 'image')}, ${byteSize(report.bytes)}`);
  },
});

const merge = defineCommand({
  command: 'merge <stores..>',
  describe: 'several feature stores as one; shards are linked, not copied, where the disk allows it',
  builder: (yargs) =>
    yargs
      .parserConfiguration(severalPositionals)
      .positional('stores', { type: 'string', array: true, demandOption: true, describe: 'folders of feature stores' })
      .option('out', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        coerce: lastOf,
        describe: 'folder of the new store',
      })
      .option('keep-first', {
        type: 'boolean',
        default: false,
        describe: 'take an image that several stores have from the first; without it that is an error',
      })
      .option('json', jsonOption),
  handler: async ({ stores, out, keepFirst, json }) => {
    const { manifest, ...counts } = await mergeStores(stores, out, { keepFirst });
    const { images, objects } = manifest;
    if (json) printJson({ images, objects, ...counts });
    else
      print(
        `${out}: ${counted(images, 'image')}, ${counted(objects, 'object')}; ${counted(counts.linked, 'shard')} linked, ` +
          `${whole(counts.copied)} copied${counts.repeated > 0 ? `; ${counted(counts.repeated, 'image')} of later stores left out` : ''}`,
      );
  },
});

export const command = defineCommand({
  command: 'features',
  describe: 'features of pictures, and feature stores made of feature files of any known form',
  builder: (yargs) =>
    yargs
      .command(extract)
      .command(draw)
      .command(importCommand)
      .command(exportCommand)
      .command(info)
      .command(verify)
      .command(merge)
      .demandCommand(1, 'features needs a command: extract, draw, import, export, info, verify or merge'),
  handler: () => undefined,
});

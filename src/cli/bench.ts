import type { Argv } from 'yargs';
import {
  benchAnswers,
  benchConfig,
  benchData,
  benchKernels,
  benchPresets,
  benchRanks,
  benchStep,
  benchTasks,
  h200,
  stepFloors,
  type BenchPreset,
  type Layers,
} from '../bench/index.js';
import type { ModelConfig } from '../config/modelConfig.js';
import { precisionNames } from '../config/runConfig.js';
import { LxmertError } from '../errors.js';
import { answersLines, dataLines, floorsLines, kernelsLines, rankLines, stepLines } from './benchTables.js';
import { rankOptions, roleBy, sharingOptions, type RankArguments } from './rankOptions.js';
import { inRanks } from './rankProcess.js';
import {
  defineCommand,
  integerOption,
  jsonOption,
  note,
  print,
  printJson,
  threadsOption,
  type GlobalOptions,
} from './command.js';

/** Parses the value of a flag: whole numbers with `separator` between them. */
function numbersOf(flag: string, text: string, separator: ',' | '-', form: string, min: number): number[] {
  const numbers = text.split(separator).map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : NaN));
  if (numbers.some((n) => !(n >= min && n <= 65536)))
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--${flag} must be ${form}, whole numbers from ${min} to 65536; not "${text}"`,
    );
  return numbers;
}

function listOption(flag: string, describe: string, value: string, min: number) {
  return {
    type: 'string' as const,
    requiresArg: true as const,
    describe,
    default: value,
    coerce: (text: string) => numbersOf(flag, text, ',', 'a list such as 1,32', min),
  };
}

function tokensOf(text: string): [number, number] {
  const range = numbersOf('tokens', text, '-', 'a range MIN-MAX such as 8-16', 1);
  const [min, max] = range;
  if (range.length !== 2 || max < min)
    throw new LxmertError('BAD_ARGUMENT', `--tokens must be a range MIN-MAX such as 8-16, not "${text}"`);
  return [min, max];
}

function layersOf(text: string): Layers {
  const layers = numbersOf('layers', text, ',', 'LANGUAGE,OBJECTS,CROSS such as 9,5,5', 0);
  if (layers.length !== 3 || layers[2] < 1)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--layers must be LANGUAGE,OBJECTS,CROSS such as 9,5,5 with at least one cross-modality layer, not "${text}"`,
    );
  return layers as unknown as Layers;
}

/** Options of all benchmarks. */
const commonOptions = (yargs: Argv<GlobalOptions>) =>
  yargs
    .option('preset', { choices: benchPresets, default: 'base' as const, describe: 'size of the model' })
    .option('layers', {
      type: 'string',
      requiresArg: true,
      describe: 'LANGUAGE,OBJECTS,CROSS layers instead of the preset’s',
      coerce: (text: string | undefined) => (text === undefined ? undefined : layersOf(text)),
    })
    .option('tokens', {
      type: 'string',
      requiresArg: true,
      default: '8-16',
      describe: 'MIN-MAX tokens a sample',
      coerce: tokensOf,
    })
    .option('precision', {
      choices: precisionNames,
      default: 'float32' as const,
      describe: 'precision of matrix products; on the CPU, PyTorch always computes in float32',
    })
    .option('objects', integerOption('objects', { describe: 'objects a sample', default: 36, min: 1, max: 512 }))
    .option('json', jsonOption);

const deviceOption = { choices: ['cpu', 'cuda'] as const, default: 'cpu' as const };

const peerOption = {
  type: 'string',
  requiresArg: true,
  describe: 'a Python with torch and transformers: also measure the same work in PyTorch, alternating, and compare',
} as const;

const stepsOption = (value: number) =>
  integerOption('steps', { describe: 'number of measurements', default: value, min: 1, max: 100_000 });
const warmupOption = (value: number) =>
  integerOption('warmup', { describe: 'runs before the first measurement', default: value, min: 1, max: 1000 });

const {
  'bucket-size': bucketSize,
  'shard-optimizer': shardOptimizer,
  'free-multiprocessors': freeMultiprocessors,
} = rankOptions;

function configOf({ preset, layers }: { preset: BenchPreset; layers: Layers | undefined }): ModelConfig {
  return benchConfig(preset, layers);
}

function show(json: boolean, report: object, lines: () => string[]): void {
  if (json) printJson(report);
  else lines().forEach(print);
}

const step = defineCommand({
  command: 'step',
  describe: 'a training step: samples per second, share of the matrix-product rate, memory, time by op',
  builder: (yargs) =>
    commonOptions(yargs)
      .option('task', {
        choices: benchTasks,
        default: 'pretrain' as const,
        describe: 'pre-training with all tasks, or fine-tuning, where a sample is a question',
      })
      .option('batch', integerOption('batch', { describe: 'samples a step', default: 32, min: 1, max: 65536 }))
      .option('steps', stepsOption(5))
      .option('warmup', warmupOption(2))
      .option('threads', threadsOption)
      .option('peer-python', peerOption)
      .option('device', { ...deviceOption, describe: 'device of lxmert and of PyTorch' })
      .option('lanes', {
        type: 'boolean',
        default: true,
        describe: "run the model's two streams at the same time, on cuda; --no-lanes: one after the other",
      })
      .option('floors', {
        type: 'boolean',
        default: false,
        describe: 'only compute and print the least time that each op can take on an H200; needs no device',
      })
      .options({
        ...sharingOptions,
        'bucket-size': bucketSize,
        'shard-optimizer': shardOptimizer,
        'free-multiprocessors': freeMultiprocessors,
      })
      .option(
        'alone-batch',
        integerOption('alone-batch', {
          describe: 'with --ranks: samples of the step in one process [--batch]',
          min: 1,
        }),
      )
      .option(
        'gradient-parts',
        integerOption('gradient-parts', {
          describe: 'with --ranks: parts of a batch whose gradients are made on their own',
          min: 1,
        }),
      ),
  handler: async ({ json, floors, ...args }) => {
    if (floors) {
      if (args.task !== 'pretrain')
        throw new LxmertError('BAD_ARGUMENT', `--floors works with --task pretrain only, not with --task ${args.task}`);
      const computed = await stepFloors({ ...args, device: 'cuda', config: configOf(args), rates: h200 });
      return show(json, computed, () => floorsLines(computed));
    }
    if (args.ranks !== undefined || roleBy(args).kind !== 'alone') return timeRanks(args, json);
    const report = await benchStep({ ...args, config: configOf(args), onProgress: note });
    show(json, report, () => stepLines(report));
  },
});

interface RankBenchArguments extends RankArguments, Omit<Parameters<typeof benchRanks>[0], 'config' | 'sharing'> {
  readonly preset: BenchPreset;
  readonly layers: Layers | undefined;
  readonly task: string;
  readonly peerPython?: string | undefined;
}

/** Compares a step on several ranks with the same step in one process. */
async function timeRanks(args: RankBenchArguments, json: boolean): Promise<void> {
  if (args.task !== 'pretrain' || args.peerPython !== undefined)
    throw new LxmertError('BAD_ARGUMENT', '--ranks works with --task pretrain, without a peer');
  // Each of the ranks would use all cores.
  const threads = args.threads === 0 ? 1 : args.threads;
  await inRanks(
    args,
    (ranks) =>
      benchRanks({
        ...{ ...args, threads, config: configOf(args) },
        sharing: ranks && {
          ...{ rank: ranks.rank, ranks: ranks.ranks, communicator: ranks.communicator },
          ...{ bucketBytes: ranks.bucketBytes, shardOptimizer: ranks.shardOptimizer },
          exchange: (name, value) => ranks.exchange(name, value),
        },
        onProgress: ranks && ranks.rank > 0 ? undefined : note,
      }),
    (report) => {
      if (report) show(json, report, () => rankLines(report));
    },
  );
}

const kernels = defineCommand({
  command: 'kernels',
  describe: 'each op by itself, by shape and thread count, compared with the rates of products and copies',
  builder: (yargs) =>
    commonOptions(yargs)
      .option('batch', listOption('batch', 'samples, one or more', '8,32,128', 1))
      .option('threads', listOption('threads', 'CPU thread counts, one or more; 0: all cores', '1,0', 0))
      .option('device', { ...deviceOption, describe: 'device to measure' })
      .option('ops', {
        type: 'string',
        requiresArg: true,
        describe: 'measure only these ops, separated by commas',
        coerce: (text: string | undefined) => text?.split(',').map((op) => op.trim()),
      }),
  handler: async ({ json, batch: batches, ...args }) => {
    const report = await benchKernels({ ...args, batches, config: configOf(args), onProgress: note });
    show(json, report, () => kernelsLines(report));
  },
});

const answers = defineCommand({
  command: 'answers',
  describe: 'answering questions, forward only: questions per second',
  builder: (yargs) =>
    commonOptions(yargs)
      .option('batch', listOption('batch', 'questions at a time, one or more', '1,32', 1))
      .option('steps', stepsOption(10))
      .option('warmup', warmupOption(2))
      .option('threads', threadsOption)
      .option('peer-python', peerOption),
  handler: async ({ json, batch: batches, ...args }) => {
    const report = await benchAnswers({ ...args, batches, config: configOf(args), onProgress: note });
    show(json, report, () => answersLines(report));
  },
});

const data = defineCommand({
  command: 'data <store>',
  describe:
    'batches made from a feature store: samples per second, compared with the page cache’s copy rate and a device',
  builder: (yargs) =>
    commonOptions(yargs)
      .positional('store', { type: 'string', demandOption: true, describe: 'folder of a feature store' })
      .option('batch', integerOption('batch', { describe: 'samples a batch', default: 256, min: 1, max: 65536 }))
      .option(
        'samples',
        integerOption('samples', { describe: 'samples to measure', default: 20_000, min: 1, max: 10_000_000 }),
      )
      .option('workers', integerOption('workers', { describe: 'threads [as in a run]', min: 0, max: 256 })),
  handler: async ({ json, store, batch, samples, workers, ...args }) => {
    const report = await benchData({ store, batch, samples, workers, onProgress: note });
    const objects = Math.max(1, Math.round(report.objectsPerImage));
    const floors = await stepFloors({
      ...{ config: { ...configOf(args), visualFeatDim: report.featureDim }, batch, objects, tokens: args.tokens },
      ...{ device: 'cuda', precision: args.precision, rates: h200 },
    });
    const demand = (1000 * batch) / floors.total.milliseconds;
    show(json, { ...report, h200SamplesPerSecond: demand }, () => dataLines(report, demand, args.precision));
  },
});

export const command = defineCommand({
  command: 'bench',
  describe: 'measure speed, compared with the machine’s rates and with PyTorch',
  builder: (yargs) =>
    yargs
      .command(step)
      .command(kernels)
      .command(answers)
      .command(data)
      .demandCommand(1, 'bench needs a command: step, kernels, answers or data'),
  handler: () => undefined,
});

import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ConfigSources } from '../config/loadConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { elementBytes, elements, type ArenaName } from '../engine/index.js';
import { keysOf, recordOf } from '../records.js';
import { tableBytes } from '../step/featureTable.js';
import { totalSteps } from '../train/index.js';
import type { TrainObserver } from '../train/index.js';
import { machineMemory } from './machine.js';
import { planFinetuning, planPretraining, type PlannedModel, type PlannedRun, type TaskMix } from './plannedRuns.js';
import { byteSize, figure } from '../figures.js';
import type { DataCoverage } from '../pretrain/parts.js';
import { measureData } from './dataRate.js';
import type { DataRate } from './dataRate.js';

export interface PlanRequest {
  /** Describes the planned run. With the flag `task`, it is a fine-tuning run. */
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Number of optimizer steps to measure, after one step that is not measured; 0: no step is made. */
  readonly steps: number;
  readonly observer?: TrainObserver | undefined;
  /** The memory for which the run is planned. Default: measured after the data are opened. */
  readonly memory?: HostMemory | undefined;
}

/** The memory of the host in bytes. */
export interface HostMemory {
  /** Memory of this process after the data were opened: program, data and batches in preparation. */
  readonly process: number;
  /** Memory available after the data were opened, including the memory of this process. */
  readonly available: number;
}

/** The needs of a planned run; sizes in bytes. */
export interface RunPlan {
  readonly parameters: number;
  readonly batchesPerEpoch: number;
  readonly totalSteps: number;
  readonly memory: HostMemory & {
    /** The engine's memory by arena. If the other arenas already do not fit, inputs and workspace are absent. */
    readonly arenas: Readonly<Partial<Record<ArenaName, number>>>;
    readonly total: number;
  };
  readonly disk: {
    readonly checkpoint: number;
    /**
     * The largest number of checkpoints at one time: those that are kept, the best one, and the one that is being
     * written.
     */
    readonly checkpoints: number;
    /** Estimated size of the metrics and the TensorBoard events of all steps. */
    readonly logs: number;
    readonly total: number;
    /** Free space on the disk of the run folder, which may not exist yet; absent if the run names no folder. */
    readonly free?: number | undefined;
  };
  /** Measured on the first batches of the epoch with the most losses; absent if no step was made. */
  readonly time?:
    | {
        readonly steps: number;
        readonly secondsPerStep: number;
        readonly samplesPerSecond: number;
        readonly secondsPerEpoch: number;
        /** Time of all training steps. Validations and checkpoints need additional time. */
        readonly secondsInAll: number;
      }
    | undefined;
  /** For training and for validation: how many sentences have an image. */
  readonly coverage: readonly DataCoverage[];
  /** The rate at which batches are made; absent if no step was made. */
  readonly data?: DataRate | undefined;
  readonly warnings: readonly string[];
}

/**
 * Plans a run of `pretrain` or of `finetune`. The needed memory is computed before it is allocated. If the machine does
 * not have enough memory, the plan has a warning, and no step is made.
 * @throws the errors of `pretrain` or `finetune` for an invalid description or invalid data
 */
export async function planRun({ sources, steps, observer, memory: given }: PlanRequest): Promise<RunPlan> {
  const isFinetuning = sources.flags?.task !== undefined;
  const run = await (isFinetuning ? planFinetuning(sources, observer) : planPretraining(sources, observer));
  try {
    const { settings, source, table } = run;
    const host = given ?? hostMemory();
    const parameters = run.parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
    const bytes = parameters * elementBytes;
    const features = table && { features: tableBytes(table) };
    const least = { parameters: bytes, gradients: bytes, state: 2 * bytes, ...features };
    const fits = (arenas: RunPlan['memory']['arenas']) => host.process + sum(arenas) <= host.available;
    const measured = fits(least) ? await measure(run, steps, fits) : { arenas: least };
    const memory = { ...host, arenas: measured.arenas, total: host.process + sum(measured.arenas) };
    const all = totalSteps(settings, source.batchesPerEpoch);
    const disk = await planDisk(settings, bytes, { steps: all, wholeEpochs: Math.floor(all / source.batchesPerEpoch) });
    const seconds = 'seconds' in measured ? measured.seconds : undefined;
    const data = seconds === undefined ? undefined : await measureData(source, settings.batchSize);
    const time =
      seconds === undefined
        ? undefined
        : {
            steps,
            secondsPerStep: seconds,
            samplesPerSecond: settings.batchSize / seconds,
            secondsPerEpoch: seconds * source.batchesPerEpoch,
            secondsInAll: seconds * all,
          };
    return {
      parameters,
      batchesPerEpoch: source.batchesPerEpoch,
      totalSteps: all,
      memory,
      disk,
      time,
      coverage: run.coverage,
      data,
      warnings: [...warningsOf(memory, disk), ...slowData(data, time)],
    };
  } finally {
    await run.close();
  }
}

function hostMemory(): HostMemory {
  const held = process.memoryUsage.rss();
  return { process: held, available: machineMemory().available + held };
}

type Arenas = Readonly<Partial<Record<ArenaName, number>>>;

interface Measured {
  readonly arenas: Arenas;
  /** Median time of a step. */
  readonly seconds?: number | undefined;
}

/**
 * Number of batches of each mix of tasks for which memory is computed. A few are enough, because their sizes differ
 * little.
 */
const planningBatches = 4;

/**
 * Computes the largest arenas that the steps of any epoch need, from the first batches of each mix of tasks. If the
 * arenas fit into memory, it also measures the time of a step with the most losses.
 */
async function measure(run: PlannedRun, steps: number, fits: (arenas: Arenas) => boolean): Promise<Measured> {
  const { mixes, table, settings } = run;
  const model = await run.openModel();
  try {
    // The table of features is allocated but not loaded: time and memory do not depend on the values of the features.
    if (table) await model.reserveFeatures(table);
    let arenas: Arenas = {};
    for (const mix of mixes)
      for await (const parts of firstBatches(run, mix.epoch, planningBatches))
        arenas = largest(arenas, await model.memoryFor(parts, mix));
    if (steps === 0 || !fits(arenas)) return { arenas };
    const fullest = mixes.reduce((a, b) => (b.losses > a.losses ? b : a));
    const seconds = await timeSteps(model, run, { mix: fullest, steps, seed: settings.seed });
    return { arenas: largest(arenas, model.memory()), seconds };
  } finally {
    await model.dispose();
  }
}

/** Median seconds of a step. The batches are made while the steps run, and only a few exist at a time. */
async function timeSteps(
  model: PlannedModel,
  run: PlannedRun,
  { mix, steps, seed }: { readonly mix: TaskMix; readonly steps: number; readonly seed: number },
): Promise<number> {
  await model.initialize(seed);
  const times: number[] = [];
  for await (const parts of firstBatches(run, mix.epoch, steps + 1)) {
    const start = performance.now();
    await model.step(parts, mix, times.length);
    times.push((performance.now() - start) / 1000);
    parts.forEach((part) => run.source.release(part));
  }
  // The first step is left out. It also allocates the workspace, and its data are not in a cache yet.
  const sorted = times.slice(1).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** The first global batches of an epoch, as their parts. */
async function* firstBatches({ source }: PlannedRun, epoch: number, count: number): AsyncGenerator<readonly Batch[]> {
  let left = count;
  for await (const { parts } of source.train({ epoch, batch: 0 })) {
    yield parts;
    if (--left === 0) return;
  }
}

/** The larger of two sizes for each arena. */
const largest = (a: Arenas, b: Readonly<Record<ArenaName, number>>): Readonly<Record<ArenaName, number>> =>
  recordOf(keysOf(b), (name) => Math.max(a[name] ?? 0, b[name]));

/**
 * Bytes of the logs of a step. Its line in `metrics.jsonl` and its TensorBoard events have about 300 bytes each, and
 * more if there are more losses.
 */
const LOG_BYTES = 1024;

async function planDisk(
  { keep, keepEvery, validates, out }: PlannedRun['settings'],
  bytes: number,
  { steps, wholeEpochs }: { readonly steps: number; readonly wholeEpochs: number },
): Promise<RunPlan['disk']> {
  const checkpoint = 3 * bytes;
  const forGood = keepEvery === undefined ? 0 : Math.floor(wholeEpochs / keepEvery);
  const checkpoints = keep + forGood + (validates ? 1 : 0) + 1;
  const free = out === undefined ? undefined : await freeSpace(out);
  const logs = steps * LOG_BYTES;
  return { checkpoint, checkpoints, logs, total: checkpoints * checkpoint + logs, free };
}

/** Free bytes on the disk of a folder that may not exist yet. */
async function freeSpace(folder: string): Promise<number | undefined> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await statfs(at).catch(() => undefined);
    if (found) return found.bavail * found.bsize;
    if (at === dirname(at)) return undefined;
  }
}

function warningsOf(memory: RunPlan['memory'], disk: RunPlan['disk']): string[] {
  const partly = memory.arenas.workspace === undefined ? 'at least ' : '';
  return [
    ...(memory.total > memory.available
      ? [
          `memory: the run needs ${partly}${byteSize(memory.total)}, the machine has ${byteSize(memory.available)} to give; ` +
            'a smaller --micro-batch-size needs less workspace, a smaller model less of everything' +
            (memory.arenas.features ? ', and without --resident-features there is no features arena' : ''),
        ]
      : []),
    ...(disk.free !== undefined && disk.total > disk.free
      ? [
          `disk: checkpoints and logs need ${byteSize(disk.total)}, ${byteSize(disk.free)} are free where --out is; ` +
            'a smaller --keep needs less',
        ]
      : []),
  ];
}

/** A warning if batches are made more slowly than the device computes, because then the device must wait for data. */
function slowData(data: DataRate | undefined, time: RunPlan['time']): string[] {
  if (!data || !time || data.samplesPerSecond >= time.samplesPerSecond) return [];
  return [
    `data: batches are made at ${figure(data.samplesPerSecond)} samples/s, the device takes ${figure(time.samplesPerSecond)}; ` +
      'a feature store is faster than a TSV (lxmert features import), and more --workers may help',
  ];
}

const sum = (arenas: Arenas) => Object.values(arenas).reduce((a, b) => a + b, 0);

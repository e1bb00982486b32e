import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import { resolveRunConfig } from '../config/resolveConfig.js';
import type { ResolvedRunConfig } from '../config/runConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';
import { elementBytes, elements, type ArenaName } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { pretrainParameters } from '../pretrain/objective.js';
import { lossWeights, openPretrainer, openPretrainRun } from '../pretrain/index.js';
import { totalSteps } from '../train/index.js';
import { tableBytes } from '../step/featureTable.js';
import type { OpenedData } from '../pretrain/index.js';
import type { TrainObserver } from '../train/index.js';
import { machineMemory } from './machine.js';

export interface PlanRequest {
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Optimizer steps to measure, after one that does not count; 0: none. */
  readonly steps: number;
  readonly observer?: TrainObserver;
  /** Memory to plan with; by default looked up when the data are open. */
  readonly memory?: HostMemory;
}

/** In bytes. */
export interface HostMemory {
  /** Program, data and batches in preparation: the memory of this process when the data were open. */
  readonly process: number;
  /** The memory available when the data were open, including that of this process. */
  readonly available: number;
}

/** What a planned run needs. Sizes are in bytes. */
export interface RunPlan {
  readonly parameters: number;
  readonly batchesPerEpoch: number;
  readonly totalSteps: number;
  readonly memory: HostMemory & {
    /** The engine's memory by arena. Inputs and workspace are absent when the others alone are too large. */
    readonly arenas: Readonly<Partial<Record<ArenaName, number>>>;
    readonly total: number;
  };
  readonly disk: {
    readonly checkpoint: number;
    /** The most checkpoints at one time: those that are kept, the best, and the one that is being written. */
    readonly checkpoints: number;
    readonly total: number;
    /** Free bytes where the run folder is or will be; absent when no run folder is named. */
    readonly free?: number;
  };
  /** Measured on the first batches of the run; absent when nothing was measured. */
  readonly time?: {
    readonly steps: number;
    readonly secondsPerStep: number;
    readonly samplesPerSecond: number;
    readonly secondsPerEpoch: number;
    /** Training only, without validations and checkpoints. */
    readonly secondsInAll: number;
  };
  readonly warnings: readonly string[];
}

/**
 * What a run with this description, as for `pretrain`, will need. The memory is added up before any of it is taken. If
 * the machine does not have it, the plan says so and nothing is measured.
 * @throws what `pretrain` throws for a wrong description or wrong data
 */
export async function planRun({ sources, steps, observer, memory: given }: PlanRequest): Promise<RunPlan> {
  const described = await loadRunConfig(sources);
  const { folder } = described.data;
  if (folder === undefined) throw new LxmertError('BAD_ARGUMENT', '--data is missing: the data of the planned run');
  const config = { ...described, data: { ...described.data, folder } };
  const data = await openPretrainRun(config, { observer });
  try {
    const resolved = resolveRunConfig(config, data.facts);
    const { source, table } = data;
    const host = given ?? hostMemory();
    const parameters = pretrainParameters(resolved.model).reduce((sum, { shape }) => sum + elements(shape), 0);
    const bytes = parameters * elementBytes;
    const features = table && { features: tableBytes(table) };
    const least = { parameters: bytes, gradients: bytes, state: 2 * bytes, ...features };
    const fits = (arenas: RunPlan['memory']['arenas']) => host.process + sum(arenas) <= host.available;
    const measured = fits(least) ? await measure(resolved, data, steps, fits) : { arenas: least };
    const memory = { ...host, arenas: measured.arenas, total: host.process + sum(measured.arenas) };
    const disk = await planDisk(resolved, bytes);
    const all = totalSteps(resolved, source.batchesPerEpoch);
    const seconds = 'seconds' in measured ? measured.seconds : undefined;
    return {
      parameters,
      batchesPerEpoch: source.batchesPerEpoch,
      totalSteps: all,
      memory,
      disk,
      ...(seconds === undefined
        ? {}
        : {
            time: {
              steps,
              secondsPerStep: seconds,
              samplesPerSecond: resolved.batchSize / seconds,
              secondsPerEpoch: seconds * source.batchesPerEpoch,
              secondsInAll: seconds * all,
            },
          }),
      warnings: warningsOf(memory, disk),
    };
  } finally {
    await data.close();
  }
}

function hostMemory(): HostMemory {
  const held = process.memoryUsage.rss();
  return { process: held, available: machineMemory().available + held };
}

interface Measured {
  readonly arenas: Readonly<Partial<Record<ArenaName, number>>>;
  /** Median of a step. */
  readonly seconds?: number;
}

/** The arenas for the first batches, and the time of steps over them if they fit. */
async function measure(
  config: ResolvedRunConfig,
  { source, table, answers }: OpenedData,
  steps: number,
  fits: (arenas: Measured['arenas']) => boolean,
): Promise<Measured> {
  const model = await openPretrainer(config);
  try {
    const weights = weightsOfFullestEpoch(config, answers !== undefined);
    // Zeros, which cost as much time as features.
    if (table) await model.reserveFeatures(table);
    const batches = await firstBatches(source, steps + 1);
    const arenas = await model.memoryFor(batches.flat(), weights);
    if (steps === 0 || !fits(arenas)) return { arenas };
    await model.initialize(config.seed);
    const times: number[] = [];
    for (const [step, parts] of batches.entries()) {
      const start = performance.now();
      await model.step(parts, { step, learningRate: 0, seed: config.seed, weights });
      times.push((performance.now() - start) / 1000);
    }
    // The first step also sizes the workspace and fills the caches, so it does not count.
    const sorted = times.slice(1).sort((a, b) => a - b);
    return { arenas, seconds: sorted[Math.floor(sorted.length / 2)] };
  } finally {
    await model.dispose();
  }
}

/** Weights of the epoch with the most losses: memory and time must be planned for that one. */
function weightsOfFullestEpoch({ tasks }: ResolvedRunConfig, hasAnswers: boolean) {
  const epochs = [0, ...tasks.on.map((task) => tasks.schedule[task].from)];
  const all = epochs.map((epoch) => lossWeights(tasks, epoch, hasAnswers));
  const count = (weights: (typeof all)[number]) => Object.values(weights).filter((weight) => weight > 0).length;
  return all.reduce((a, b) => (count(b) > count(a) ? b : a));
}

async function firstBatches(source: PretrainSource, count: number): Promise<(readonly Batch[])[]> {
  const batches: (readonly Batch[])[] = [];
  for await (const { parts } of source.train({ epoch: 0, batch: 0 })) {
    batches.push(parts);
    if (batches.length === count) break;
  }
  return batches;
}

async function planDisk({ keep, data, out }: ResolvedRunConfig, bytes: number): Promise<RunPlan['disk']> {
  const checkpoint = 3 * bytes;
  const checkpoints = keep + (data.valid.length > 0 ? 1 : 0) + 1;
  const free = out === undefined ? undefined : await freeSpace(out);
  return { checkpoint, checkpoints, total: checkpoints * checkpoint, ...(free === undefined ? {} : { free }) };
}

/** Free bytes where a folder is or would be made. */
async function freeSpace(folder: string): Promise<number | undefined> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await statfs(at).catch(() => undefined);
    if (found) return found.bavail * found.bsize;
    if (at === dirname(at)) return undefined;
  }
}

function warningsOf(memory: RunPlan['memory'], disk: RunPlan['disk']): string[] {
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toPrecision(3)} GB`;
  const partly = memory.arenas.workspace === undefined ? 'at least ' : '';
  return [
    ...(memory.total > memory.available
      ? [
          `memory: the run needs ${partly}${gigabytes(memory.total)}, the machine has ${gigabytes(memory.available)} free; ` +
            'a smaller --micro-batch-size needs less workspace, a smaller model less of everything' +
            (memory.arenas.features ? ', and without --resident-features there is no features arena' : ''),
        ]
      : []),
    ...(disk.free !== undefined && disk.total > disk.free
      ? [
          `disk: the checkpoints need ${gigabytes(disk.total)}, ${gigabytes(disk.free)} are free where --out is; ` +
            'a smaller --keep needs less',
        ]
      : []),
  ];
}

const sum = (arenas: Measured['arenas']) => Object.values(arenas).reduce((a, b) => a + b, 0);

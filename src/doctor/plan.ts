import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ConfigSources } from '../config/loadConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { elementBytes, elements, type ArenaName } from '../engine/index.js';
import { tableBytes } from '../step/featureTable.js';
import { totalSteps } from '../train/index.js';
import type { TrainObserver, TrainSource } from '../train/index.js';
import { machineMemory } from './machine.js';
import { planFinetuning, planPretraining, type PlannedRun } from './plannedRuns.js';

export interface PlanRequest {
  /** The flag `task` is there for a fine-tuning run. */
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Optimizer steps to measure, after one that does not count; 0: none. */
  readonly steps: number;
  readonly observer?: TrainObserver;
  /** Memory to plan with; looked up once the data are open, unless given. */
  readonly memory?: HostMemory;
}

/** In bytes. */
export interface HostMemory {
  /** Program, data and batches being made: what this process held once the data were open. */
  readonly process: number;
  /** What the machine could give when the data were open, this process's own share included. */
  readonly available: number;
}

/** What a planned run needs; sizes in bytes. */
export interface RunPlan {
  readonly parameters: number;
  readonly batchesPerEpoch: number;
  readonly totalSteps: number;
  readonly memory: HostMemory & {
    /** The engine's memory, an arena each. Inputs and workspace are absent when the rest alone is too much. */
    readonly arenas: Readonly<Partial<Record<ArenaName, number>>>;
    readonly total: number;
  };
  readonly disk: {
    readonly checkpoint: number;
    /** At most at a time: those kept, the best, and the one being written. */
    readonly checkpoints: number;
    readonly total: number;
    /** Free where the run folder is or will be; absent when the run names none. */
    readonly free?: number;
  };
  /** Measured on the first batches of the run; absent when nothing was measured. */
  readonly time?: {
    readonly steps: number;
    readonly secondsPerStep: number;
    readonly samplesPerSecond: number;
    readonly secondsPerEpoch: number;
    /** Training alone: validations and checkpoints come on top. */
    readonly secondsInAll: number;
  };
  readonly warnings: readonly string[];
}

/**
 * What a run described like that of `pretrain`, or of `finetune`, will need. Memory is summed up before it is taken: when
 * the machine does not have it, the plan says so and nothing is measured.
 * @throws what `pretrain` or `finetune` throws for a bad description or bad data
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
    const disk = await planDisk(settings, bytes);
    const all = totalSteps(settings, source.batchesPerEpoch);
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
              samplesPerSecond: settings.batchSize / seconds,
              secondsPerEpoch: seconds * source.batchesPerEpoch,
              secondsInAll: seconds * all,
            },
          }),
      warnings: warningsOf(memory, disk),
    };
  } finally {
    await run.close();
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
  { openModel, settings, source, table }: PlannedRun,
  steps: number,
  fits: (arenas: Measured['arenas']) => boolean,
): Promise<Measured> {
  const model = await openModel();
  try {
    // Zeros cost as much as features.
    if (table) await model.reserveFeatures(table);
    const batches = await firstBatches(source, steps + 1);
    const arenas = await model.memoryFor(batches.flat());
    if (steps === 0 || !fits(arenas)) return { arenas };
    await model.initialize(settings.seed);
    const times: number[] = [];
    for (const [step, parts] of batches.entries()) {
      const start = performance.now();
      await model.step(parts, step);
      times.push((performance.now() - start) / 1000);
    }
    // The first one also sizes the workspace and meets cold caches.
    const sorted = times.slice(1).sort((a, b) => a - b);
    return { arenas, seconds: sorted[Math.floor(sorted.length / 2)] };
  } finally {
    await model.dispose();
  }
}

async function firstBatches(source: TrainSource, count: number): Promise<(readonly Batch[])[]> {
  const batches: (readonly Batch[])[] = [];
  for await (const { parts } of source.train({ epoch: 0, batch: 0 })) {
    batches.push(parts);
    if (batches.length === count) break;
  }
  return batches;
}

async function planDisk({ keep, validates, out }: PlannedRun['settings'], bytes: number): Promise<RunPlan['disk']> {
  const checkpoint = 3 * bytes;
  const checkpoints = keep + (validates ? 1 : 0) + 1;
  const free = out === undefined ? undefined : await freeSpace(out);
  return { checkpoint, checkpoints, total: checkpoints * checkpoint, ...(free === undefined ? {} : { free }) };
}

/** Bytes free where a folder is or would be made. */
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
          `memory: the run needs ${partly}${gigabytes(memory.total)}, the machine has ${gigabytes(memory.available)} to give; ` +
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

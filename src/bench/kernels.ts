import type { ModelConfig } from '../config/modelConfig.js';
import { elementBytes, Engine, type OpName, type Tensor, type Precision } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { capacitiesOf, stageInto, stagedBytes, stagedTensors, type StagedBatch } from '../tasks/staging.js';
import { benchBatch } from './batch.js';
import { rowCounts, type RowCounts } from './flops.js';
import { KernelSpace, type Kernel } from './kernel.js';
import { batchKernels, chunkList, kernelOps, parameterKernels } from './kernelCalls.js';
import { thisMachine, threadCount, type Machine } from './machine.js';
import { workOf } from './opWork.js';
import { RateMeter, timeOp, type Rates } from './rates.js';
import { speedOf, type Speed } from './report.js';
import { timesOf, type Times } from './statistics.js';

const seed = 9595;
/** Of each kernel: untimed calls, then at least this many and this long, and never more than that many. */
const warmup = 2;
const fewest = 5;
const shortestMilliseconds = 60;
const most = 25;

export interface KernelsBenchOptions {
  readonly config: ModelConfig;
  /** Samples; each is measured. */
  readonly batches: readonly number[];
  readonly tokens: readonly [number, number];
  readonly objects: number;
  /** Thread counts, 0 for one a core; each is measured. */
  readonly threads: readonly number[];
  /** Of the products; `float32` by default. */
  readonly precision?: Precision | undefined;
  /** Parameters for the ops that work on them; by default enough to leave any cache. A multiple of 65,536. */
  readonly parameters?: number | undefined;
  /** Only these ops. */
  readonly ops?: readonly string[] | undefined;
  readonly onProgress?: (line: string) => void;
}

export interface KernelReport extends Speed {
  readonly op: OpName;
  readonly shape: string;
  /** Samples; null for ops on parameters. */
  readonly batch: number | null;
  readonly threads: number;
  readonly milliseconds: Times;
}

export interface KernelsReport {
  readonly kernels: readonly KernelReport[];
  /** By thread count. */
  readonly rates: readonly (Rates & { readonly threads: number })[];
  readonly machine: Machine;
}

/**
 * Times every op of the table alone, by shape, batch and thread count, on the engine's own clock.
 * @throws LxmertError BAD_ARGUMENT
 */
export async function benchKernels(options: KernelsBenchOptions): Promise<KernelsReport> {
  const known: readonly string[] = kernelOps(options.config);
  const strange = options.ops?.find((op) => !known.includes(op));
  if (strange !== undefined)
    throw new LxmertError('BAD_ARGUMENT', `there is no op "${strange}" to bench: the ops are ${known.join(', ')}`);
  const machine = thisMachine();
  const kernels: KernelReport[] = [];
  const rates: KernelsReport['rates'][number][] = [];
  for (const threads of new Set(options.threads.map(threadCount))) {
    await using engine = Engine.create({ device: 'cpu', threads, precision: options.precision });
    const measured = await measureAll(engine, options, threads);
    rates.push({ threads, ...measured.rates });
    kernels.push(...measured.kernels);
  }
  return { kernels, rates, machine };
}

type Measured = Pick<KernelReport, 'op' | 'shape' | 'batch' | 'milliseconds'> & {
  readonly work: Parameters<typeof speedOf>[0];
};

async function measureAll(
  engine: Engine,
  options: KernelsBenchOptions,
  threads: number,
): Promise<{ rates: Rates; kernels: KernelReport[] }> {
  const { config, ops, parameters = 2 ** 25, onProgress: tell = () => undefined } = options;
  const meter = new RateMeter(engine);
  const measured: Measured[] = [];
  const list = chunkList(parameters);
  engine.reserve('state', list.byteLength);
  const chunks = engine.tensor('state', 0, [list.length / 2, 2], 'i32');
  await engine.upload(chunks, list);
  const wanted = (kernels: Kernel[]): Kernel[] => kernels.filter(({ op }) => !ops || ops.includes(op));
  const measure = async (kernels: readonly Kernel[], batchOf: Staged, batch: number | null): Promise<void> => {
    for (const kernel of kernels) {
      measured.push({ ...(await time(engine, kernel, batchOf, chunks)), batch });
      const { op, shape, milliseconds } = measured[measured.length - 1];
      tell(`${threads} threads, batch ${batch ?? '-'}: ${op} ${shape} ${milliseconds.median.toFixed(3)} ms`);
    }
  };
  for (const samples of options.batches) {
    await meter.measure();
    await measure(wanted(batchKernels(config)), await stage(engine, options, samples), samples);
  }
  await measure(wanted(parameterKernels(parameters)), await stage(engine, options, 1), null);
  await meter.measure();
  const rates = meter.best;
  return {
    rates,
    kernels: measured.map(({ work, ...rest }) => ({
      ...rest,
      threads,
      ...speedOf(work, rest.milliseconds.median, rates),
    })),
  };
}

interface Staged {
  readonly staged: StagedBatch;
  readonly counts: RowCounts;
}

/** A random batch on the device, as a step has it. */
async function stage(
  engine: Engine,
  { config, tokens, objects }: KernelsBenchOptions,
  samples: number,
): Promise<Staged> {
  const batch = benchBatch(config, { samples, tokens, objects, seed });
  const capacities = capacitiesOf(batch);
  const bytes = stagedBytes(capacities, config.visualFeatDim);
  engine.reserve('inputs', bytes);
  const keys = { step: 1, seed, learningRate: 1e-4, lossScale: new Array<number>(6).fill(1 / samples) };
  await engine.upload(
    engine.tensor('inputs', 0, [bytes / elementBytes], 'i32'),
    stageInto(new SharedArrayBuffer(bytes), { batch, keys, capacities, featureDim: config.visualFeatDim }),
  );
  return { staged: stagedTensors(engine, capacities, config.visualFeatDim, 0), counts: rowCounts(batch) };
}

async function time(
  engine: Engine,
  { op, shape, args: make }: Kernel,
  { staged, counts }: Staged,
  chunks: Tensor,
): Promise<Omit<Measured, 'batch'>> {
  const space = (): KernelSpace => new KernelSpace(engine, staged, chunks);
  const needed = engine.plan(() => make(space()));
  if (needed > engine.memory().workspace) engine.reserve('workspace', needed);
  const args = make(space());
  for (let i = 0; i < warmup; i++) await timeOp(engine, op, args);
  const times: number[] = [];
  let total = 0;
  while (times.length < fewest || (total < shortestMilliseconds && times.length < most)) {
    const milliseconds = await timeOp(engine, op, args);
    times.push(milliseconds);
    total += milliseconds;
  }
  return { op, shape, milliseconds: timesOf(times), work: workOf(op, args, counts) };
}

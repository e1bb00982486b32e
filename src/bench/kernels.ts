import type { ModelConfig } from '../config/modelConfig.js';
import { Engine, type OpName, type Precision } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { Kernel } from './kernel.js';
import { batchKernels, kernelOps, parameterKernels } from './kernelCalls.js';
import { thisMachine, threadCount, type Machine } from './machine.js';
import { workOf } from './opWork.js';
import { productWeightBytes, RateMeter, type Rates } from './rates.js';
import { speedOf, type Speed } from './report.js';
import { stageChunks, stageKernels, type StagedKernels } from './stagedKernels.js';
import { timesOf, type Times } from './statistics.js';
import type { BenchDevice } from './step.js';
import { timeCalls } from './timing.js';

/** Timed calls of each kernel. */
const takes = 5;

export interface KernelsBenchOptions {
  readonly config: ModelConfig;
  /** `cpu` by default. */
  readonly device?: BenchDevice | undefined;
  /** Batch sizes; each is measured. */
  readonly batches: readonly number[];
  readonly tokens: readonly [number, number];
  readonly objects: number;
  /** Numbers of threads; each is measured. 0 means one thread for each core. On CUDA only the first number is used. */
  readonly threads: readonly number[];
  /** `float32` by default. */
  readonly precision?: Precision | undefined;
  /** Number of parameters for the ops on parameters, a multiple of 65,536; by default more than fit into any cache. */
  readonly parameters?: number | undefined;
  /** Measures only these ops. */
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
  /** Results by number of threads. */
  readonly rates: readonly (Rates & { readonly threads: number })[];
  readonly precision: Precision;
  /** A text that describes the device. */
  readonly device: string;
  readonly machine: Machine;
}

/**
 * Measures the time of every op of the table alone, for each shape, batch size and number of threads, and the rates of
 * the device.
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
  const { device: on = 'cpu', precision = 'float32' } = options;
  const counts = new Set((on === 'cpu' ? options.threads : options.threads.slice(0, 1)).map(threadCount));
  let device = '';
  for (const threads of counts) {
    await using engine = Engine.create({ device: on, threads, precision });
    device = engine.description;
    const measured = await measureAll(engine, options, threads);
    rates.push({ threads, ...measured.rates });
    kernels.push(...measured.kernels);
  }
  return { kernels, rates, precision, device, machine };
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
  engine.reserve('parameters', productWeightBytes);
  const meter = new RateMeter(engine);
  const measured: Measured[] = [];
  const chunks = await stageChunks(engine, parameters);
  const wanted = (kernels: Kernel[]): Kernel[] => kernels.filter(({ op }) => !ops || ops.includes(op));
  const measure = async (kernels: readonly Kernel[], staged: StagedKernels, batch: number | null): Promise<void> => {
    for (const kernel of kernels) {
      const { op, shape } = kernel;
      const args = staged.argsOf(kernel);
      const milliseconds = timesOf(await timeCalls(engine, op, args, takes));
      measured.push({ op, shape, batch, milliseconds, work: workOf(op, args, staged.counts, engine.activationDType) });
      const where = engine.device === 'cpu' ? `${threads} threads` : engine.device;
      tell(`${where}, batch ${batch ?? '-'}: ${op} ${shape} ${milliseconds.median.toFixed(4)} ms`);
    }
  };
  for (const samples of options.batches) {
    await meter.measure();
    await measure(wanted(batchKernels(config)), await stageKernels(engine, options, samples, chunks), samples);
  }
  await measure(wanted(parameterKernels(parameters)), await stageKernels(engine, options, 1, chunks), null);
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

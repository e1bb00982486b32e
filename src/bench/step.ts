import type { ModelConfig } from '../config/modelConfig.js';
import { toTransformersJson } from '../config/transformers.js';
import { examplesOf, type Batch } from '../data/batches/batch.js';
import type { OpProfile, Precision } from '../engine/index.js';
import { benched, type Benched, type BenchTask } from './benched.js';
import { rowCounts } from './flops.js';
import { peakMemory, thisMachine, threadCount, type Machine } from './machine.js';
import { WorkByOp, workOf } from './opWork.js';
import { Peer } from './peer.js';
import { RateMeter, type Rates } from './rates.js';
import { adam, learningRate, seed } from './recipe.js';
import { opReports, type OpReport, type PeerReport } from './report.js';
import { timed, timesOf, type Times } from './statistics.js';

/**
 * The original pads every sentence to this number of tokens. In this benchmark, a longer sentence increases the number.
 */
const paddedTokens = 20;

/** The device and threads of a benchmark. */
export type BenchDevice = 'cpu' | 'cuda';

export interface StepBenchOptions {
  /** The task of the step; pre-training by default. */
  readonly task?: BenchTask | undefined;
  readonly config: ModelConfig;
  /** Our device and the peer's; `cpu` by default. */
  readonly device?: BenchDevice | undefined;
  /** Samples of a step; questions in fine-tuning. */
  readonly batch: number;
  /** Smallest and largest length of a sample, in tokens. */
  readonly tokens: readonly [number, number];
  readonly objects: number;
  /** Number of timed steps, and of steps before them. */
  readonly steps: number;
  readonly warmup: number;
  /** CPU threads; 0: one for each core. */
  readonly threads: number;
  /**
   * Precision of products; `float32` by default. A peer on CUDA uses it, too; a peer on the CPU always uses float32.
   */
  readonly precision?: Precision | undefined;
  /** On CUDA: whether language and vision run at the same time; default true. */
  readonly lanes?: boolean | undefined;
  /** A Python with torch and transformers that runs the same step as a peer. */
  readonly peerPython?: string | undefined;
  readonly onProgress?: (line: string) => void;
}

export interface StepReport extends Rates {
  readonly samplesPerSecond: number;
  readonly gflops: number;
  /**
   * `gflops` divided by the rate of large matrix products of the same precision, which is measured between the steps.
   */
  readonly sgemmShare: number;
  /** High-water mark of the process without the memory for measuring rates; on CUDA, the memory of the arenas. */
  readonly peakMemoryBytes: number;
  readonly stepMilliseconds: Times;
  readonly gflopPerSample: number;
  readonly batch: number;
  readonly precision: Precision;
  readonly threads: number;
  /** The longest first. */
  readonly ops: readonly OpReport[];
  /** Time of a step outside of all ops: staging, uploads, enqueuing, waiting. */
  readonly otherMilliseconds: number;
  /** A text that describes the device. */
  readonly device: string;
  readonly machine: Machine;
  /**
   * Notes of the engine, such as a failed capture. If there is one, the times are not those of a training run. Usually
   * there is none.
   */
  readonly notes: readonly string[];
  /** `memoryRatio`: our peak divided by the peer's peak. */
  readonly peer?: PeerReport & { readonly peakMemoryBytes: number; readonly memoryRatio: number };
}

/**
 * Measures the time of steps on one random batch: of pre-training with all five tasks, or of fine-tuning. Measurements
 * of the rates, our step and the peer's step alternate, so that other load on the machine affects all of them.
 * @throws LxmertError BAD_ARGUMENT
 */
export async function benchStep(options: StepBenchOptions): Promise<StepReport> {
  const { task = 'pretrain', peerPython, onProgress: tell = () => undefined } = options;
  const machine = thisMachine();
  const threads = threadCount(options.threads);
  const { precision = 'float32', device = 'cpu' } = options;
  const { tokens, objects } = options;
  const work = benched(task, options.config, { samples: options.batch, tokens, objects });
  const { config, batch } = work;
  using peer =
    peerPython === undefined
      ? null
      : await Peer.start(peerPython, 'torch_step.py', {
          ...peerSetup(config, batch, threads),
          ...{ task, device, precision },
        });
  const notes: string[] = [];
  const onNote = (text: string): void => {
    notes.push(text);
    tell(text);
  };
  const model = work.open({ device, threads, precision, lanes: options.lanes, onNote });
  try {
    await model.initialize(seed);
    const run = new StepRun(model, work);
    await run.prepare();
    const theirs: number[] = [];
    for (let i = 1; i <= options.warmup; i++) {
      tell(`warm-up ${i} of ${options.warmup}`);
      await run.step();
      await peer?.run();
    }
    run.forget();
    for (let i = 1; i <= options.steps; i++) {
      const ours = await run.measure();
      const their = await peer?.run();
      if (their !== undefined) theirs.push(their);
      const shown = [`${ours.toFixed(1)} ms`, ...(their === undefined ? [] : [`peer ${their.toFixed(1)} ms`])];
      tell(`step ${i} of ${options.steps}: ${shown.join(', ')}`);
    }
    if (device === 'cuda') await run.profileStep();
    const report = { ...run.report(threads), device: model.engine.description, precision, machine, notes };
    if (!peer) return report;
    const milliseconds = timesOf(theirs);
    const peakMemoryBytes = await peer.end();
    return {
      ...report,
      peer: {
        name: peer.name,
        samplesPerSecond: (1000 * examplesOf(batch)) / milliseconds.median,
        milliseconds,
        ratio: milliseconds.median / report.stepMilliseconds.median,
        peakMemoryBytes,
        memoryRatio: report.peakMemoryBytes / peakMemoryBytes,
      },
    };
  } finally {
    await model.dispose();
  }
}

/** Runs steps on one batch and keeps their times. */
class StepRun {
  readonly #rates: RateMeter;
  readonly #work = new WorkByOp();
  readonly #counts;
  #times: number[] = [];
  #profiles: OpProfile[][] = [];
  #steps = 0;
  readonly #model: ReturnType<Benched['open']>;
  readonly #benched: Benched;

  constructor(model: ReturnType<Benched['open']>, benched: Benched) {
    this.#model = model;
    this.#benched = benched;
    this.#rates = new RateMeter(model.engine);
    this.#counts = rowCounts(benched.batch);
  }

  /** Measures the rates once, because that makes the workspace grow, which would invalidate recordings of steps. */
  async prepare(): Promise<void> {
    await this.#rates.measure();
  }

  async step(): Promise<void> {
    await this.#model.trainStep(this.#steps++);
  }

  /**
   * Measures the machine's rates, then one step. On CUDA the time of each op is measured in `profileStep`, because this
   * measurement waits for each op.
   */
  async measure(): Promise<number> {
    await this.#rates.measure();
    const onCpu = this.#model.engine.device === 'cpu';
    const milliseconds = await timed(() => (onCpu ? this.profileStep() : this.step()));
    this.#times.push(milliseconds);
    return milliseconds;
  }

  /** A step whose ops are timed one by one. */
  async profileStep(): Promise<void> {
    const { engine } = this.#model;
    if (this.#profiles.length === 0)
      engine.observer = (op, args) => this.#work.add(op, workOf(op, args, this.#counts, engine.activationDType));
    engine.profile(true);
    await this.step();
    engine.observer = null;
    this.#profiles.push(await engine.readProfile());
    engine.profile(false);
  }

  #peakMemory(): number {
    const { engine } = this.#model;
    const grown = this.#rates.grownBytes;
    if (engine.device === 'cpu') return peakMemory() - grown;
    return Object.values(engine.memory()).reduce((sum, bytes) => sum + bytes, 0) - grown;
  }

  /** Forgets all times. */
  forget(): void {
    this.#times = [];
    this.#profiles = [];
  }

  report(threads: number): Omit<StepReport, 'machine' | 'precision' | 'device' | 'notes'> {
    const times = this.#times;
    const questions = examplesOf(this.#benched.batch);
    const rates = this.#rates.best;
    const stepMilliseconds = timesOf(times);
    const mean = times.reduce((sum, ms) => sum + ms, 0) / times.length;
    const ops = opReports(this.#profiles, mean, (op) => this.#work.of(op), rates);
    const inOps = ops.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const flops = this.#benched.flops(this.#counts);
    const gflops = flops / stepMilliseconds.median / 1e6;
    return {
      samplesPerSecond: (1000 * questions) / stepMilliseconds.median,
      gflops,
      sgemmShare: gflops / rates.sgemmGflops,
      peakMemoryBytes: this.#peakMemory(),
      stepMilliseconds,
      gflopPerSample: flops / questions / 1e9,
      batch: questions,
      threads,
      ...rates,
      ops,
      otherMilliseconds: Math.max(0, mean - inOps),
    };
  }
}

/** The set-up that a peer needs to run the same step. */
export function peerSetup(config: ModelConfig, batch: Batch, threads: number): object {
  const lengths = Array.from({ length: batch.size }, (_, s) => batch.tokenOffsets[s + 1] - batch.tokenOffsets[s]);
  return {
    config: JSON.parse(toTransformersJson(config)) as object,
    threads,
    seed,
    lengths,
    objects: batch.objectOffsets[1],
    paddedTokens: Math.max(paddedTokens, ...lengths),
    learningRate,
    ...adam,
  };
}

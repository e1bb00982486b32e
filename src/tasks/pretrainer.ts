import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batch.js';
import {
  adamUpdate,
  elementBytes,
  fill,
  gradNorm,
  GradientLedger,
  Tape,
  type AdamOptions,
  type Engine,
  type EngineOptions,
  type OptimizerTensors,
  type Tensor,
} from '../engine/index.js';
import { Engine as EngineClass } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { AttentionMaps } from '../model/encoder.js';
import type { ParameterGroup } from '../model/parameters.js';
import { ModelWeights } from '../model/weights.js';
import { lossNames, type LossName, type LossWeights, type StepOptions, type StepResult, type Tallies } from './losses.js';
import { pretrainForward, type PretrainOutputs } from './pretrainLosses.js';
import {
  capacitiesOf,
  checkBatch,
  stageBytes,
  stagedBytes,
  stagedTensors,
  type Capacities,
  type StagedBatch,
  type StepKeys,
} from './staging.js';

export interface PretrainerOptions {
  readonly config: ModelConfig;
  readonly adam: AdamOptions;
  readonly engine?: EngineOptions;
}

/** What can be read and written by a parameter's name. */
export type StateKind = 'parameter' | 'gradient' | 'firstMoment' | 'secondMoment';

/** Elements of one chunk of the optimizer's work. */
const chunkElements = 65536;
const tallyWords = 4;

/**
 * LXMERT with its five pre-training tasks and BertAdam on one engine. Calls are served in the order in which they are
 * made; each enqueues its work and resolves when its numbers are known, so the next batch can be prepared meanwhile.
 */
export class Pretrainer {
  readonly config: ModelConfig;
  readonly engine: Engine;
  readonly weights: ModelWeights;
  /** transformers' names and shapes, in the order of memory. */
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  private readonly adam: AdamOptions;
  private readonly plans = new Map<string, number>();
  private queue: Promise<unknown> = Promise.resolve();
  private slot = 0;
  private slotBytes = 0;
  private activeKey = '';
  private chunkCount = 0;

  constructor({ config, adam, engine }: PretrainerOptions) {
    this.config = config;
    this.adam = adam;
    this.engine = EngineClass.create(engine);
    this.weights = new ModelWeights(this.engine, config);
    this.parameters = this.weights.parameters.map(({ name, spec }) => ({ name, shape: spec.shape }));
    this.engine.reserve('state', this.stateLayout().bytes);
  }

  /** Fresh weights (section 4.1 of the paper: N(0, 0.02²)), zero moments. */
  async initialize(seed: number): Promise<void> {
    return this.inOrder(async () => {
      this.weights.initialize(seed, this.config.initializerRange);
      const { firstMoment, secondMoment } = this.stateTensors();
      for (const moments of [firstMoment, secondMoment]) fill(this.engine, moments, 0);
      await this.engine.synchronize();
    });
  }

  /** @throws LxmertError INTERNAL for an unknown name */
  async read(kind: StateKind, name: string): Promise<Float32Array> {
    return this.inOrder(() => this.engine.readFloats(this.stateTensor(kind, name)));
  }

  /** @throws LxmertError BAD_ARGUMENT when the values do not fit */
  async write(kind: StateKind, name: string, values: Float32Array): Promise<void> {
    return this.inOrder(() => this.engine.upload(this.stateTensor(kind, name), values));
  }

  /**
   * One optimizer step over the parts of one global batch (more than one: gradient accumulation, which changes nothing but
   * the order of summation). The update is skipped on the device when the gradient is not finite.
   * @throws LxmertError NOT_FINITE, BAD_DATA
   */
  async step(parts: readonly Batch[], options: StepOptions): Promise<StepResult> {
    const counts = addCounts(parts.map(labelCounts));
    const started = await this.started(async () => {
      const ledger = new GradientLedger();
      const uploads = await this.accumulate(parts, options, counts, ledger);
      const groups = activeGroups(options.weights);
      this.zeroUnwritten(groups, ledger);
      const tensors = await this.optimizerTensors(groups);
      gradNorm(this.engine, tensors);
      adamUpdate(this.engine, tensors, uploads.record, this.adam);
      return { done: Promise.all([this.engine.readFloats(this.reportTensor()), uploads.done]) };
    });
    const [report] = await started.done;
    return this.stepResult(report, parts, options, counts);
  }

  /** The same gradients without the update; read them with `read('gradient', name)`. */
  async gradients(parts: readonly Batch[], options: StepOptions): Promise<Tallies> {
    const counts = addCounts(parts.map(labelCounts));
    const started = await this.started(async () => {
      const ledger = new GradientLedger();
      const uploads = await this.accumulate(parts, options, counts, ledger);
      this.zeroUnwritten(activeGroups(options.weights), ledger);
      return { done: Promise.all([this.engine.readFloats(this.reportTensor()), uploads.done]) };
    });
    const [report] = await started.done;
    return talliesOf(report, counts);
  }

  /** Forward only, dropout off: sums per loss. */
  async evaluate(batch: Batch, weights: LossWeights): Promise<Tallies> {
    return this.forward(batch, weights, async (_, tallies) => tallies());
  }

  /**
   * Forward only, dropout off; `use` reads what it wants of the outputs, which the next call overwrites.
   * `maps` are made from the workspace by `makeMaps` before the forward.
   */
  async forward<T>(
    batch: Batch,
    weights: LossWeights,
    use: (outputs: PretrainOutputs, tallies: () => Promise<Tallies>, maps: AttentionMaps) => Promise<T>,
    makeMaps?: (tape: Tape) => AttentionMaps,
  ): Promise<T> {
    const counts = labelCounts(batch);
    const keys: StepKeys = { step: 0, seed: 0, learningRate: 0, lossScale: lossNames.map(() => 0) };
    return this.inOrder(async () => {
      let maps: AttentionMaps = new Map();
      const run = (staged: StagedBatch): PretrainOutputs => {
        const tape = new Tape(this.engine, { training: false });
        if (makeMaps) maps = makeMaps(tape);
        return pretrainForward({ tape, weights: this.weights, config: this.config, maps }, staged, weights, this.tallies());
      };
      const { staged, uploaded } = await this.stage(batch, keys, `forward${makeMaps ? ' with maps' : ''}`, weights, run);
      fill(this.engine, this.tallies(), 0);
      const outputs = run(staged);
      const tallies = async (): Promise<Tallies> => talliesOf(await this.engine.readFloats(this.reportTensor()), counts);
      const [result] = await Promise.all([use(outputs, tallies, maps), uploaded]);
      return result;
    });
  }

  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  /** Runs `work` after all calls made before; other calls wait until it is over. */
  private inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => undefined);
    return result;
  }

  /** The same for work that goes on after it has been enqueued: only the enqueuing is waited for. */
  private started<T>(work: () => Promise<{ done: Promise<T> }>): Promise<{ done: Promise<T> }> {
    return this.inOrder(async () => {
      const started = await work();
      started.done.catch(() => undefined); // the caller sees it
      return started;
    });
  }

  /** Forward and backward of all parts into the gradient arena. */
  private async accumulate(
    parts: readonly Batch[],
    options: StepOptions,
    counts: Counts,
    ledger: GradientLedger,
  ): Promise<{ record: Tensor; done: Promise<unknown> }> {
    if (parts.length === 0) throw new LxmertError('BAD_ARGUMENT', 'a step needs at least one batch');
    const { step, seed, learningRate, weights } = options;
    const keys: StepKeys = { step, seed, learningRate, lossScale: this.lossScale(weights, counts) };
    const uploads: Promise<void>[] = [];
    let record: Tensor | null = null;
    fill(this.engine, this.tallies(), 0);
    for (const part of parts) {
      const run = (staged: StagedBatch, partLedger: GradientLedger): void => {
        const tape = new Tape(this.engine, { training: true, ledger: partLedger });
        pretrainForward({ tape, weights: this.weights, config: this.config }, staged, weights, this.tallies());
        tape.backward();
      };
      const { staged, uploaded } = await this.stage(part, keys, 'train', weights, (s) => run(s, new GradientLedger()));
      uploads.push(uploaded);
      run(staged, ledger);
      record = staged.record;
    }
    const done = Promise.all(uploads);
    done.catch(() => undefined);
    return { record: record as Tensor, done };
  }

  /**
   * Puts a batch into the next of the two input slots and makes room in the workspace for `run` on it. Waits only when
   * memory has to grow.
   */
  private async stage(
    batch: Batch,
    keys: StepKeys,
    kind: string,
    weights: LossWeights,
    run: (staged: StagedBatch) => unknown,
  ): Promise<{ staged: StagedBatch; uploaded: Promise<void> }> {
    checkBatch(batch, this.config);
    const { engine } = this;
    const featureDim = this.config.visualFeatDim;
    const capacities = capacitiesOf(batch);
    const bytes = stagedBytes(capacities, featureDim);
    if (bytes > this.slotBytes) {
      await engine.synchronize();
      this.slotBytes = bytes;
      engine.reserve('inputs', 2 * bytes);
    }
    this.slot = 1 - this.slot;
    const start = this.slot * this.slotBytes;
    const staged = stagedTensors(engine, capacities, featureDim, start);
    const needed = this.plannedBytes(capacities, kind, weights, () => run(staged));
    if (needed > engine.memory().workspace) {
      await engine.synchronize();
      engine.reserve('workspace', needed);
    } else engine.workspace.reset(engine.memory().workspace);
    const source = stageBytes(batch, keys, capacities, featureDim);
    const uploaded = engine.upload(engine.tensor('inputs', start, [bytes / elementBytes], 'i32'), source);
    uploaded.catch(() => undefined); // seen where the step's numbers are read
    return { staged, uploaded };
  }

  private plannedBytes(capacities: Capacities, kind: string, weights: LossWeights, run: () => unknown): number {
    const on = lossNames.filter((name) => weights[name] !== 0);
    const key = [kind, ...Object.values(capacities), ...on].join(' ');
    let bytes = this.plans.get(key);
    if (bytes === undefined) {
      bytes = this.engine.plan(run);
      this.plans.set(key, bytes);
    }
    return bytes;
  }

  private lossScale(weights: LossWeights, counts: Counts): number[] {
    return lossNames.map((name) => (weights[name] * this.normalizer(name)) / Math.max(1, counts[name]));
  }

  /** The object losses are multiplied by 1 over the share of masked objects (the original's `visual_loss_normalizer`). */
  private normalizer(name: LossName): number {
    return name === 'obj' || name === 'attr' || name === 'feat' ? this.config.visualLossNormalizer : 1;
  }

  /** Mean of each loss, with its normalizer and without its weight. */
  losses(tallies: Tallies, weights: LossWeights): { total: number; losses: Partial<Record<LossName, number>> } {
    const losses: Partial<Record<LossName, number>> = {};
    let total = 0;
    for (const name of lossNames) {
      if (weights[name] === 0) continue;
      const { lossSum, count } = tallies[name];
      const loss = (lossSum * this.normalizer(name)) / Math.max(1, count);
      losses[name] = loss;
      total += weights[name] * loss;
    }
    return { total, losses };
  }

  private stepResult(report: Float32Array, parts: readonly Batch[], options: StepOptions, counts: Counts): StepResult {
    const { total, losses } = this.losses(talliesOf(report, counts), options.weights);
    const [norm, notFinite] = report.subarray(lossNames.length * tallyWords);
    if (notFinite || !Number.isFinite(total)) {
      const bad = lossNames.filter((name) => losses[name] !== undefined && !Number.isFinite(losses[name]));
      const ids = parts.flatMap((part) => part.sampleIds);
      throw new LxmertError(
        'NOT_FINITE',
        `step ${options.step}: ${bad.length > 0 ? `the loss of ${bad.join(', ')}` : 'the gradient'} is not finite; the ` +
          `weights were left as they were. Samples: ${ids.slice(0, 8).join(', ')}${ids.length > 8 ? ` and ${ids.length - 8} more` : ''}. ` +
          'A lower learning rate often helps; if it happens at once, look at the features of these samples',
      );
    }
    return { loss: total, losses, gradNorm: norm };
  }

  private stateLayout(): { moments: number; report: number; chunks: number; partial: number; bytes: number } {
    const { bytes } = this.weights;
    // Ranges of groups end anywhere, so there may be a few more chunks than the whole arena has.
    const chunks = Math.ceil(bytes / elementBytes / chunkElements) + 32;
    const report = 2 * bytes;
    const reportBytes = 64 * Math.ceil(((lossNames.length * tallyWords + 2) * elementBytes) / 64);
    const chunkStart = report + reportBytes;
    const partial = chunkStart + chunks * 2 * elementBytes;
    return { moments: bytes, report, chunks: chunkStart, partial, bytes: partial + chunks * elementBytes };
  }

  private reportTensor(): Tensor {
    return this.engine.tensor('state', this.stateLayout().report, [lossNames.length * tallyWords + 2]);
  }

  private tallies(): Tensor {
    return this.engine.tensor('state', this.stateLayout().report, [lossNames.length, tallyWords]);
  }

  private stateTensors(): Pick<OptimizerTensors, 'parameters' | 'gradients' | 'firstMoment' | 'secondMoment'> {
    const shape = [this.weights.bytes / elementBytes];
    return {
      parameters: this.engine.tensor('parameters', 0, shape),
      gradients: this.engine.tensor('gradients', 0, shape),
      firstMoment: this.engine.tensor('state', 0, shape),
      secondMoment: this.engine.tensor('state', this.weights.bytes, shape),
    };
  }

  private stateTensor(kind: StateKind, name: string): Tensor {
    const { tensor, gradient, offset, spec } = this.weights.get(name);
    if (kind === 'parameter') return tensor;
    if (kind === 'gradient') return gradient;
    return this.engine.tensor('state', offset + (kind === 'firstMoment' ? 0 : this.weights.bytes), spec.shape);
  }

  private zeroUnwritten(groups: ReadonlySet<ParameterGroup>, ledger: GradientLedger): void {
    for (const [begin, end] of this.weights.ranges(groups))
      for (const [from, to] of ledger.unwritten(begin, end))
        fill(this.engine, this.engine.tensor('gradients', from, [(to - from) / elementBytes]), 0);
  }

  /** The optimizer's work: chunks of the groups that are on; a head that is off is not touched at all. */
  private async optimizerTensors(groups: ReadonlySet<ParameterGroup>): Promise<OptimizerTensors> {
    const { chunks, partial, report } = this.stateLayout();
    const key = [...groups].join(' ');
    if (key !== this.activeKey) {
      const table: number[] = [];
      for (const [begin, end] of this.weights.ranges(groups))
        for (let at = begin / elementBytes; at < end / elementBytes; at += chunkElements)
          table.push(at, Math.min(chunkElements, end / elementBytes - at));
      this.chunkCount = table.length / 2;
      this.activeKey = key;
      await this.engine.upload(this.engine.tensor('state', chunks, [table.length], 'i32'), Int32Array.from(table));
    }
    return {
      ...this.stateTensors(),
      chunks: this.engine.tensor('state', chunks, [this.chunkCount, 2], 'i32'),
      partial: this.engine.tensor('state', partial, [this.chunkCount]),
      norm: this.engine.tensor('state', report + lossNames.length * tallyWords * elementBytes, [2]),
    };
  }
}

type Counts = Readonly<Record<LossName, number>>;

/** What each loss of a batch is divided by: its labels, or the real objects. */
export function labelCounts(batch: Batch): Counts {
  const objects = batch.objects.labels.length;
  return {
    maskedLm: batch.maskedTokens.rows.length,
    matched: batch.size,
    obj: objects,
    attr: objects,
    feat: objects,
    qa: batch.answers.reduce((n, answer) => n + (answer >= 0 ? 1 : 0), 0),
  };
}

function addCounts(all: readonly Counts[]): Counts {
  return Object.fromEntries(lossNames.map((name) => [name, all.reduce((n, c) => n + c[name], 0)])) as Counts;
}

function talliesOf(report: Float32Array, counts: Counts): Tallies {
  return Object.fromEntries(
    lossNames.map((name, i) => {
      const [lossSum, correct, labelled] = report.subarray(i * tallyWords, (i + 1) * tallyWords);
      return [name, { lossSum, count: counts[name], correct, labelled }];
    }),
  ) as unknown as Tallies;
}

function activeGroups(weights: LossWeights): ReadonlySet<ParameterGroup> {
  const groups = new Set<ParameterGroup>(['encoder']);
  if (weights.matched || weights.qa) groups.add('pooler');
  if (weights.obj || weights.attr || weights.feat) groups.add('objects');
  for (const name of lossNames) if (weights[name]) groups.add(name);
  return groups;
}

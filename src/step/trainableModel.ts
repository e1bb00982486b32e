import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import {
  attentionLimits,
  Engine,
  GradientLedger,
  Recordings,
  rowBlock,
  Tape,
  type AdamOptions,
  type ArenaName,
  type EngineOptions,
  type LossSlot,
  type Tensor,
} from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { AttentionMaps } from '../model/encoder.js';
import { ModelWeights } from '../model/weights.js';
import { loadFeatures, reserveFeatures, type LoadOptions } from './featureTable.js';
import {
  addCounts,
  lossesOn,
  lossScale,
  meanLosses,
  type LossFactors,
  type LossWeights,
  type MeanLosses,
  type StepOptions,
  type StepResult,
  type Tallies,
} from './losses.js';
import { ModelState, parseReport, type StateKind, type StepReport } from './modelState.js';
import type { Objective } from './objective.js';
import type { StagedBatch, StepKeys } from './staging.js';
import { StepMemory, type StagedWork } from './stepMemory.js';

/** Parts of steps that are kept as recordings: one for each slot, place in a step and set of capacities that occur. */
const mostRecordings = 128;

/** Where a part stands in its step. */
interface PartOf<L extends string> {
  readonly weights: LossWeights<L>;
  readonly first: boolean;
  readonly last: boolean;
  /** Whether the step ends with an update. */
  readonly update: boolean;
}

export interface ModelOptions {
  readonly config: ModelConfig;
  readonly adam: AdamOptions;
  readonly engine?: EngineOptions | undefined;
}

interface ForwardOptions<L extends string, Outputs, T> {
  /** Reads what it wants of the outputs; the next call overwrites them. */
  readonly use: (outputs: Outputs, tallies: () => Promise<Tallies<L>>, maps: AttentionMaps) => Promise<T>;
  /** Attention maps to fill, made from the workspace. */
  readonly maps?: (tape: Tape) => AttentionMaps;
}

/**
 * LXMERT with the heads and losses of an objective, and BertAdam, on one engine. Calls are served in the order in which
 * they are made; each enqueues its work and resolves when its numbers are known, so the next batch can be prepared
 * meanwhile.
 */
export class TrainableModel<L extends string, Outputs> {
  readonly config: ModelConfig;
  readonly engine: Engine;
  readonly weights: ModelWeights;
  /** transformers' names and shapes, in the order of memory. */
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Names of the losses, in the order of the device's loss record. */
  readonly lossNames: readonly L[];
  private readonly adam: AdamOptions;
  private readonly factors: LossFactors<L>;
  private readonly state: ModelState;
  private readonly memory: StepMemory;
  private readonly recordings: Recordings<GradientLedger>;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly objective: Objective<L, Outputs>,
    { config, adam, engine }: ModelOptions,
  ) {
    this.config = config;
    this.adam = adam;
    this.engine = Engine.create(engine);
    this.checkHeads();
    this.lossNames = objective.losses;
    this.factors = { names: objective.losses, factors: objective.factors(config) };
    this.weights = new ModelWeights(this.engine, objective.parameters(config));
    this.parameters = this.weights.parameters.map(({ name, spec }) => ({ name, shape: spec.shape }));
    this.state = new ModelState(this.engine, this.weights, objective.losses.length);
    this.memory = new StepMemory(this.engine, config);
    this.recordings = new Recordings(this.engine, mostRecordings);
  }

  /** Heads wider than the device's attention takes would fail in the first step, and end the engine. */
  private checkHeads(): void {
    const { device } = this.engine;
    const { headDim } = attentionLimits[device];
    const { hiddenSize, numAttentionHeads } = this.config;
    if (hiddenSize / numAttentionHeads <= headDim) return;
    void this.engine.dispose();
    throw new LxmertError(
      'UNSUPPORTED',
      `${numAttentionHeads} heads of ${hiddenSize / numAttentionHeads} columns (hiddenSize ${hiddenSize}): attention on ${device} ` +
        `takes heads of at most ${headDim}; use more heads`,
    );
  }

  /** Fresh weights (section 4.1 of the paper: N(0, 0.02²)), zero moments. @throws the signal's reason */
  initialize(seed: number, signal?: AbortSignal): Promise<void> {
    return this.inOrder(async () => {
      await this.weights.initialize(seed, this.config.initializerRange, signal);
      this.state.clearMoments();
      await this.engine.synchronize();
    });
  }

  /** @throws LxmertError INTERNAL for an unknown name */
  read(kind: StateKind, name: string): Promise<Float32Array> {
    return this.inOrder(() => this.engine.readFloats(this.state.tensor(kind, name)));
  }

  /** @throws LxmertError BAD_ARGUMENT when the values do not fit */
  write(kind: StateKind, name: string, values: Float32Array): Promise<void> {
    return this.inOrder(() => this.engine.upload(this.state.tensor(kind, name), values));
  }

  /**
   * Keeps features on the device, for batches that name their rows.
   * @throws LxmertError OUT_OF_MEMORY before anything is read, BAD_DATA; the signal's reason
   */
  loadFeatures(table: FeatureTable, options: LoadOptions = {}): Promise<void> {
    return this.inOrder(() => loadFeatures(this.engine, table, options));
  }

  /** Room for the same, to plan with. @throws LxmertError OUT_OF_MEMORY */
  reserveFeatures(table: FeatureTable): Promise<void> {
    return this.inOrder(async () => reserveFeatures(this.engine, table));
  }

  /**
   * One optimizer step over the parts of one global batch (more than one: gradient accumulation, which changes nothing but
   * the order of summation). The device skips the update when the gradient is not finite.
   * @throws LxmertError NOT_FINITE, BAD_DATA
   */
  async step(parts: readonly Batch[], options: StepOptions<L>): Promise<StepResult<L>> {
    const { tallies, gradNorm, finite } = await this.train(parts, options, true);
    const { total, losses } = this.losses(tallies, options.weights);
    if (!finite || !Number.isFinite(total)) throw notFinite(parts, options, losses);
    return { loss: total, losses, gradNorm };
  }

  /** The gradients of a step without its update; read them with `read('gradient', name)`. */
  async gradients(parts: readonly Batch[], options: StepOptions<L>): Promise<Tallies<L>> {
    return (await this.train(parts, options, false)).tallies;
  }

  /**
   * Bytes of each arena that steps over these parts need. The workspace is only planned, not taken; everything else is.
   * @throws LxmertError BAD_DATA, and when the rest does not fit
   */
  memoryFor(parts: readonly Batch[], weights: LossWeights<L>): Promise<Readonly<Record<ArenaName, number>>> {
    return this.inOrder(async () => {
      let workspace = 0;
      for (const part of parts) {
        const placed = await this.memory.place(part, this.trainWork(weights));
        workspace = Math.max(workspace, placed.workspace);
      }
      return { ...this.engine.memory(), workspace };
    });
  }

  /** Forward only, dropout off: sums per loss. */
  evaluate(batch: Batch, weights: LossWeights<L>): Promise<Tallies<L>> {
    return this.forward(batch, weights, { use: async (_, tallies) => tallies() });
  }

  /** Forward only, dropout off, and a look at the outputs. */
  forward<T>(
    batch: Batch,
    weights: LossWeights<L>,
    { use, maps: makeMaps }: ForwardOptions<L, Outputs, T>,
  ): Promise<T> {
    const counts = this.objective.counts(batch);
    const keys: StepKeys = { step: 0, seed: 0, learningRate: 0, lossScale: [] };
    return this.inOrder(async () => {
      const run = (staged: StagedBatch): [Outputs, AttentionMaps] => {
        const tape = new Tape(this.engine, { training: false });
        const maps = makeMaps?.(tape) ?? new Map<string, Tensor>();
        const encoder = { tape, weights: this.weights, config: this.config, maps };
        return [this.objective.forward({ encoder, batch: staged, weights, slotOf: this.slotOf }), maps];
      };
      const kind = this.kindOf(makeMaps ? 'forward with maps' : 'forward', weights);
      const { staged, uploaded } = await this.memory.stage(batch, keys, { kind, run });
      this.state.clearTallies();
      const [outputs, maps] = run(staged);
      const tallies = async (): Promise<Tallies<L>> =>
        parseReport(await this.engine.readFloats(this.state.report), this.lossNames, counts).tallies;
      const [result] = await Promise.all([use(outputs, tallies, maps), uploaded]);
      return result;
    });
  }

  /** Mean of each loss that is on, with its normalizer and without its weight, and their weighted sum. */
  losses(tallies: Tallies<L>, weights: LossWeights<L>): { readonly total: number; readonly losses: MeanLosses<L> } {
    return meanLosses(this.factors, tallies, weights);
  }

  /** Lets the queued work finish, then gives all memory back. */
  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  /** Runs `work` after all calls made before; later calls wait until it is over. */
  private inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => undefined);
    return result;
  }

  /** Forward and backward of all parts into the gradient arena, and the update if wanted; later calls wait for the enqueuing only. */
  private async train(parts: readonly Batch[], options: StepOptions<L>, update: boolean): Promise<StepReport<L>> {
    if (parts.length === 0) throw new LxmertError('BAD_ARGUMENT', 'a step needs at least one batch');
    const { step, seed, learningRate, weights } = options;
    const { objective, lossNames } = this;
    const counts = addCounts(lossNames, parts.map(objective.counts));
    const { ownRate } = objective;
    const keys = {
      ...{ step, seed, learningRate, lossScale: lossScale(this.factors, weights, counts) },
      ownRate: ownRate && learningRate * ownRate.factor,
    };
    const started = await this.inOrder(async () => {
      if (update) await this.state.prepareUpdate(objective.groups(weights), ownRate?.groups);
      const uploads: Promise<void>[] = [];
      let ledger = new GradientLedger();
      for (const [i, part] of parts.entries()) {
        const { staged, key, uploaded } = await this.memory.stage(part, keys, this.trainWork(weights));
        uploads.push(uploaded);
        const of: PartOf<L> = { weights, first: i === 0, last: i === parts.length - 1, update };
        ledger = this.recordings.run(JSON.stringify([key, of.first, of.last, update, ledger.key]), () =>
          this.trainPart(staged, of, new GradientLedger(ledger)),
        );
      }
      const done = Promise.all([this.engine.readFloats(this.state.report), ...uploads]);
      return { done };
    });
    const [report] = await started.done;
    return parseReport(report, lossNames, counts);
  }

  /** One part's share of a step, added to what the ledger says is there; the ledger afterwards. */
  private trainPart(staged: StagedBatch, { weights, first, last, update }: PartOf<L>, ledger: GradientLedger) {
    if (first) this.state.clearTallies();
    this.forwardAndBackward(staged, weights, ledger);
    if (last) this.state.clearUnwritten(this.objective.groups(weights), ledger);
    if (last && update) this.state.update(staged, this.adam);
    return ledger;
  }

  private trainWork(weights: LossWeights<L>): StagedWork {
    const run = (staged: StagedBatch): void => this.forwardAndBackward(staged, weights, new GradientLedger());
    return { kind: this.kindOf('train', weights), run };
  }

  private forwardAndBackward(staged: StagedBatch, weights: LossWeights<L>, ledger: GradientLedger): void {
    const tape = new Tape(this.engine, { training: true, ledger });
    const encoder = { tape, weights: this.weights, config: this.config };
    this.objective.forward({ encoder, batch: staged, weights, slotOf: this.slotOf });
    tape.backward();
  }

  /** Where a loss leaves its sums. */
  private readonly slotOf = (loss: L): LossSlot => {
    const slot = this.lossNames.indexOf(loss);
    return { slot, tally: rowBlock(this.state.tallies, slot, 1) };
  };

  /** All that the op calls of some work depend on besides the batch. */
  private kindOf(work: string, weights: LossWeights<L>): string {
    return [work, ...lossesOn(this.lossNames, weights)].join(' ');
  }
}

function notFinite(
  parts: readonly Batch[],
  { step }: { readonly step: number },
  losses: Readonly<Partial<Record<string, number>>>,
): LxmertError {
  const bad = Object.keys(losses).filter((name) => !Number.isFinite(losses[name]));
  const ids = parts.flatMap((part) => part.sampleIds);
  const what = bad.length > 0 ? `the loss of ${bad.join(', ')}` : 'the gradient';
  const more = ids.length > 8 ? ` and ${ids.length - 8} more` : '';
  return new LxmertError(
    'NOT_FINITE',
    `step ${step}: ${what} is not finite; the weights were left as they were. Samples: ${ids.slice(0, 8).join(', ')}${more}. ` +
      'A lower learning rate often helps; if it happens at once, look at the features of these samples',
  );
}

import { AsyncLocalStorage } from 'node:async_hooks';
import type { ModelConfig } from '../config/modelConfig.js';
import { examplesOf, type Batch } from '../data/batches/batch.js';
import type { FeatureTable } from '../data/features/residentFeatures.js';
import {
  attentionLimits,
  Engine,
  rowBlock,
  type AdamOptions,
  type ArenaName,
  type EngineOptions,
  type LossSlot,
} from '../engine/index.js';
import { isLxmertError, LxmertError } from '../errors.js';
import { demandFinite, demandNotNegative, demandUint32 } from '../numbers.js';
import { ModelWeights } from '../model/weights.js';
import { loadFeatures, reserveFeatures, type LoadOptions } from './featureTable.js';
import {
  addCounts,
  lossesOn,
  lossScale,
  meanLosses,
  type LossCounts,
  type LossFactors,
  type LossWeights,
  type MeanLosses,
  type StepOptions,
  type StepResult,
  type Tallies,
} from './losses.js';
import { demandAdam, demandConfig, demandStepOptions, demandWeights } from './checkOptions.js';
import { ModelState, parseReport, type StateKind, type StepReport } from './modelState.js';
import { forwardWork, type ForwardOptions } from './forwardWork.js';
import { GradientParts, type StepSharing } from './gradientParts.js';
import type { Objective } from './objective.js';
import type { StepKeys } from './staging.js';
import { StepMemory } from './stepMemory.js';
import { TrainingWork } from './trainingWork.js';

/** A call of `forward` whose `use` is running. */
interface Use {
  active: boolean;
}

export interface ModelOptions {
  readonly config: ModelConfig;
  readonly adam: AdamOptions;
  readonly engine?: EngineOptions | undefined;
}

/**
 * LXMERT with the heads and losses of an objective, and BertAdam, on one engine. Calls are processed in the order in
 * which they are made. Each call enqueues its work and resolves when its results are known, so the caller can prepare
 * the next batch in the meantime. Bad arguments are refused with BAD_ARGUMENT or BAD_DATA before any work is enqueued.
 */
export class TrainableModel<L extends string, Outputs> {
  readonly config: ModelConfig;
  readonly engine: Engine;
  readonly weights: ModelWeights;
  /** Names and shapes of the parameters, as in transformers, in the order of memory. */
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Names of the losses, in the order of the device's loss record. */
  readonly lossNames: readonly L[];
  readonly #objective: Objective<L, Outputs>;
  readonly #adam: AdamOptions;
  readonly #factors: LossFactors<L>;
  readonly #state: ModelState;
  readonly #memory: StepMemory;
  readonly #training: TrainingWork<L>;
  /** Computes the gradient of a global batch in parts; undefined if this process computes the gradient as a whole. */
  #parts: GradientParts | undefined;
  /** The call of `forward` whose `use` is running in the current asynchronous context. */
  readonly #inUse = new AsyncLocalStorage<Use>();
  /** Parameters that have no value yet. A dry run computes nothing, so its parameters need no values. */
  readonly #unset: Set<string>;
  #packed = false;
  #queue: Promise<unknown> = Promise.resolve();
  /**
   * Resolves to whether the last update was made; undefined if that is known already. A later step waits for it before
   * its own update.
   */
  #lastUpdate: Promise<boolean> | undefined;

  /** @throws LxmertError BAD_ARGUMENT naming the option; NO_DEVICE, ADDON, OUT_OF_MEMORY, UNSUPPORTED */
  constructor(objective: Objective<L, Outputs>, { config, adam, engine }: ModelOptions) {
    demandConfig(config);
    demandAdam(adam);
    this.#objective = objective;
    this.config = config;
    this.#adam = { ...adam };
    this.engine = Engine.create(engine);
    this.#checkHeads();
    this.lossNames = objective.losses;
    this.#factors = { names: objective.losses, factors: objective.factors(config) };
    this.weights = new ModelWeights(this.engine, objective.parameters(config));
    this.parameters = this.weights.parameters.map(({ name, spec }) => ({ name, shape: spec.shape }));
    this.#unset = new Set(engine?.dryRun ? [] : this.parameters.map(({ name }) => name));
    this.#state = new ModelState(this.engine, this.weights, objective.losses.length);
    this.#memory = new StepMemory(this.engine, config);
    this.#training = new TrainingWork({
      ...{ engine: this.engine, config, weights: this.weights, objective, adam: this.#adam },
      ...{ state: this.#state, memory: this.#memory, slotOf: this.#slotOf },
      kindOf: (work, weights) => this.#kindOf(work, weights),
    });
  }

  /** Refuses heads that are wider than the device's attention allows: the first step would fail and end the engine. */
  #checkHeads(): void {
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

  /**
   * Draws new random weights (section 4.1 of the paper: N(0, 0.02²)) and sets the moments to zero.
   * @param seed from 0 to 2³² - 1
   * @throws LxmertError BAD_ARGUMENT; the signal's reason
   */
  async initialize(seed: number, signal?: AbortSignal): Promise<void> {
    demandUint32('seed', seed);
    return this.#inOrder(async () => {
      this.#demandPlain();
      await this.weights.initialize(seed, this.config.initializerRange, signal);
      this.#state.clearMoments();
      await this.engine.synchronize();
      this.#unset.clear();
    });
  }

  /**
   * From now on `step` computes the gradient of each part of a global batch separately, and sums the gradients along a fixed
   * tree, over all ranks. `step` then receives the parts of this rank, with `partOf`. Call it before the first step, and before
   * moments are loaded. With `shardOptimizer` all ranks must then read the same moments in the same order.
   * @throws LxmertError BAD_ARGUMENT; BAD_CONFIG if the ranks have different devices; NO_DEVICE on CUDA without NCCL; RANK_LOST
   */
  share(sharing: StepSharing): Promise<void> {
    return this.#inOrder(async () => {
      this.#parts = new GradientParts(this.engine, this.weights, this.#state.tallies, sharing);
      await this.#parts.join();
      if (this.#parts.slices) this.#state.shard(this.#parts.slices);
      this.#training.share(this.#parts);
    });
  }

  /** @throws LxmertError BAD_ARGUMENT for an unknown kind or name; UNSUPPORTED for a gradient of a sharded optimizer */
  async read(kind: StateKind, name: string): Promise<Float32Array> {
    this.#state.demandKnown(kind, name);
    return this.#inOrder(() => this.#state.read(kind, name));
  }

  /** @throws LxmertError BAD_ARGUMENT for an unknown kind or name, another number of values, or one that is not finite */
  async write(kind: StateKind, name: string, values: Float32Array): Promise<void> {
    this.#state.demandKnown(kind, name);
    demandFinite(name, values);
    return this.#inOrder(async () => {
      await this.#state.write(kind, name, values);
      if (kind === 'parameter') this.#unset.delete(name);
    });
  }

  /**
   * Lays the weights out for forward passes, which become faster and need no more memory. With bfloat16, the weights are
   * rounded. The model can then no longer be trained.
   */
  packWeights(): Promise<void> {
    return this.#inOrder(async () => {
      this.#demandSet();
      this.#packed = true;
      this.weights.pack();
      await this.engine.synchronize();
    });
  }

  /** @throws UNSUPPORTED after `packWeights` */
  #demandPlain(): void {
    if (this.#packed)
      throw new LxmertError(
        'UNSUPPORTED',
        'the weights of this model were laid out for forward passes (packWeights), so it cannot be trained; open it again',
      );
  }

  /**
   * Keeps features on the device, for batches that name their rows.
   * @throws LxmertError OUT_OF_MEMORY before anything is read, BAD_DATA; the signal's reason
   */
  loadFeatures(table: FeatureTable, options: LoadOptions = {}): Promise<void> {
    return this.#inOrder(() => loadFeatures(this.engine, table, options));
  }

  /** Reserves the memory of `loadFeatures` without loading anything. @throws LxmertError OUT_OF_MEMORY */
  reserveFeatures(table: FeatureTable): Promise<void> {
    return this.#inOrder(async () => reserveFeatures(this.engine, table));
  }

  /**
   * One optimizer step over the parts of one global batch. The gradients of the parts are added up, so the division into
   * parts changes only the order of summation. If a loss or the gradient is not finite, the step does not update the weights
   * and rejects with NOT_FINITE. Steps that were called before this rejection do not update them and reject, too.
   * @throws LxmertError NOT_FINITE, BAD_ARGUMENT, BAD_DATA
   */
  async step(parts: readonly Batch[], options: StepOptions<L>): Promise<StepResult<L>> {
    const { tallies, gradNorm, finite, examples } = await this.#train(parts, options, true);
    const { total, losses } = this.losses(tallies, options.weights);
    if (!finite || !Number.isFinite(total)) throw notFinite(parts, options, losses);
    return { loss: total, losses, gradNorm, ...(examples === undefined ? {} : { examples }) };
  }

  /**
   * Computes the gradients of a step without its update; `read('gradient', name)` gives them.
   * @throws LxmertError BAD_ARGUMENT, BAD_DATA
   */
  async gradients(parts: readonly Batch[], options: StepOptions<L>): Promise<Tallies<L>> {
    return (await this.#train(parts, options, false)).tallies;
  }

  /**
   * Bytes of each arena that steps over these parts need. The workspace is only planned; all other arenas are reserved.
   * @throws LxmertError BAD_ARGUMENT, BAD_DATA; OUT_OF_MEMORY when the reserved arenas do not fit
   */
  async memoryFor(parts: readonly Batch[], weights: LossWeights<L>): Promise<Readonly<Record<ArenaName, number>>> {
    demandWeights(this.lossNames, weights);
    return this.#inOrder(async () => {
      parts.forEach((part) => this.#memory.check(part));
      let workspace = 0;
      for (const part of parts) {
        const placed = await this.#memory.place(part, this.#training.work(weights));
        workspace = Math.max(workspace, placed.workspace);
      }
      return { ...this.engine.memory(), workspace };
    });
  }

  /** Forward pass with dropout off: the sums of each loss. @throws LxmertError BAD_ARGUMENT, BAD_DATA */
  evaluate(batch: Batch, weights: LossWeights<L>): Promise<Tallies<L>> {
    return this.forward(batch, weights, { use: async (_, tallies) => tallies() });
  }

  /** Forward pass with dropout off; `use` reads its outputs. @throws LxmertError BAD_ARGUMENT, BAD_DATA */
  async forward<T>(
    batch: Batch,
    weights: LossWeights<L>,
    { use, ...options }: ForwardOptions<L, Outputs, T>,
  ): Promise<T> {
    demandWeights(this.lossNames, weights);
    const keys: StepKeys = { step: 0, seed: 0, learningRate: 0, lossScale: [] };
    return this.#inOrder(async () => {
      this.#demandSet();
      this.#memory.check(batch);
      const counts = this.#objective.counts(batch);
      const { engine, config } = this;
      const model = { engine, config, weights: this.weights, objective: this.#objective, slotOf: this.#slotOf };
      const work = forwardWork(model, weights, options);
      const kind = this.#kindOf(work.kind, weights);
      const { staged, uploaded } = await this.#memory.stage(batch, keys, { kind, run: work.plan });
      this.#state.clearTallies();
      const { outputs, ...made } = await work.compute(staged);
      const tallies = async (): Promise<Tallies<L>> =>
        parseReport(await engine.readFloats(this.#state.report), this.lossNames, counts).tallies;
      const inUse: Use = { active: true };
      try {
        const used = this.#inUse.run(inUse, () => use(outputs, tallies, made));
        const [result] = await Promise.all([used, uploaded]);
        return result;
      } finally {
        inUse.active = false;
      }
    });
  }

  /** Mean of each loss that is on, with its normalizer and without its weight, and the weighted sum of these means. */
  losses(tallies: Tallies<L>, weights: LossWeights<L>): { readonly total: number; readonly losses: MeanLosses<L> } {
    return meanLosses(this.#factors, tallies, weights);
  }

  /** The largest number of tokens, or of objects, of one sample that the device's attention can compute. */
  get mostRows(): number {
    return attentionLimits[this.engine.device].rows;
  }

  /** Lets the queued work finish, then frees all memory. */
  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  /** Runs `work` after all calls made before; later calls wait until it is done. */
  async #inOrder<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inUse.getStore()?.active)
      throw new LxmertError(
        'BAD_ARGUMENT',
        '`use` of a forward call must not call the model, because that call would wait for the end of `use`; return the ' +
          'values that were read, and call the model afterwards',
      );
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** @throws BAD_ARGUMENT for a model whose weights have not been set, because it would compute with zeros */
  #demandSet(): void {
    if (this.#unset.size === 0) return;
    const [first] = this.#unset;
    throw new LxmertError(
      'BAD_ARGUMENT',
      `the model has no weights: ${this.#unset.size} of ${this.parameters.length} parameters have no value, such as ` +
        `${first}. Call initialize(seed), or load all of them`,
    );
  }

  /**
   * Computes the gradients of all parts into the gradient arena and, if `update` is true, updates the weights. Later calls
   * wait only until this work is enqueued.
   */
  async #train(
    parts: readonly Batch[],
    options: StepOptions<L>,
    update: boolean,
  ): Promise<StepReport<L> & { readonly examples: number | undefined }> {
    if (parts.length === 0 && !this.#parts) throw new LxmertError('BAD_ARGUMENT', 'a step needs at least one batch');
    demandStepOptions(this.lossNames, options);
    const { step, seed, learningRate, weights } = options;
    // The promise is undefined if the result of the last step is known. If that step made no update, it has already
    // been rejected, so this step is made.
    const before = this.#lastUpdate;
    let updated: (made: boolean) => void = () => undefined;
    const own = new Promise<boolean>((resolve) => (updated = resolve));
    if (update) this.#lastUpdate = own;
    try {
      const started = await this.#inOrder(async () => {
        this.#demandPlain();
        this.#demandSet();
        parts.forEach((part) => this.#memory.check(part));
        const own = addCounts(this.lossNames, parts.map(this.#objective.counts));
        const { counts, examples } = await this.#overRanks(own, parts);
        const scale = lossScale(this.#factors, weights, counts);
        scale.forEach((value, i) => demandNotNegative(`weights.${this.lossNames[i]} × factor / labels`, value));
        const { ownRate } = this.#objective;
        const keys = { step, seed, learningRate, lossScale: scale, ownRate: ownRate && learningRate * ownRate.factor };
        const { partOf = [] } = options;
        return {
          counts,
          examples,
          ...(await this.#training.enqueue(parts, keys, { weights, update, before, partOf })),
        };
      });
      const values = await started.done;
      const report = parseReport(values, this.lossNames, started.counts);
      updated(report.finite);
      return { ...report, examples: started.examples };
    } catch (error) {
      // If a step was not finite, or was not made because of the step before it, the next enqueued step is not made
      // either. If a step was refused for another reason, the next step is made.
      updated(!isLxmertError(error) || error.code !== 'NOT_FINITE');
      throw error;
    } finally {
      if (this.#lastUpdate === own) this.#lastUpdate = undefined;
    }
  }

  /** The label counts and examples of the global batch. */
  async #overRanks(
    own: LossCounts<L>,
    parts: readonly Batch[],
  ): Promise<{ readonly counts: LossCounts<L>; readonly examples: number | undefined }> {
    const exchange = this.#parts?.sharing.exchange;
    if (!exchange) return { counts: own, examples: undefined };
    const examples = parts.reduce((sum, part) => sum + examplesOf(part), 0);
    const all = await exchange('step', { counts: own, examples });
    return {
      counts: addCounts(
        this.lossNames,
        all.map(({ counts }) => counts),
      ),
      examples: all.reduce((sum, each) => sum + each.examples, 0),
    };
  }

  /** The row of the tallies for a loss. */
  readonly #slotOf = (loss: L): LossSlot => {
    const slot = this.lossNames.indexOf(loss);
    return { slot, tally: rowBlock(this.#state.tallies, slot, 1) };
  };

  /** A key for everything except the batch on which the op calls of some work depend. */
  #kindOf(work: string, weights: LossWeights<L>): string {
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
    `step ${step}: ${what} is not finite; the weights were not changed. Samples: ${ids.slice(0, 8).join(', ')}${more}. ` +
      'A lower learning rate often helps; if it happens in the first steps, look at the features of these samples',
  );
}

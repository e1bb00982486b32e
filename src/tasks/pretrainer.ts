import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batch.js';
import {
  attentionLimits,
  elementBytes,
  Engine,
  GradientLedger,
  Tape,
  type AdamOptions,
  type ArenaName,
  type EngineOptions,
  type Tensor,
} from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { AttentionMaps } from '../model/encoder.js';
import { ModelWeights } from '../model/weights.js';
import { activeGroups, addCounts, labelCounts, lossScale, meanLosses } from './lossMath.js';
import { lossNames, type LossWeights, type StepOptions, type StepResult, type Tallies } from './losses.js';
import { HostSlots } from './hostSlots.js';
import { explainOutOfMemory } from './outOfMemory.js';
import { ModelState, parseReport, type Counts, type StateKind } from './modelState.js';
import { pretrainForward, type PretrainOutputs } from './pretrainLosses.js';
import {
  capacitiesOf,
  checkBatch,
  stageInto,
  stagedBytes,
  stagedTensors,
  type StagedBatch,
  type StepKeys,
} from './staging.js';

export interface PretrainerOptions {
  readonly config: ModelConfig;
  readonly adam: AdamOptions;
  readonly engine?: EngineOptions;
}

interface ForwardOptions<T> {
  /** Reads what it wants of the outputs; the next call overwrites them. */
  readonly use: (outputs: PretrainOutputs, tallies: () => Promise<Tallies>, maps: AttentionMaps) => Promise<T>;
  /** Attention maps to fill, made from the workspace. */
  readonly maps?: (tape: Tape) => AttentionMaps;
}

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
  private readonly state: ModelState;
  /** Workspace bytes by what is run: capacities, losses, direction. */
  private readonly plans = new Map<string, number>();
  private queue: Promise<unknown> = Promise.resolve();
  private slot = 0;
  private slotBytes = 0;
  private readonly host = new HostSlots();

  constructor({ config, adam, engine }: PretrainerOptions) {
    this.config = config;
    this.adam = adam;
    this.engine = Engine.create(engine);
    this.checkHeads();
    this.weights = new ModelWeights(this.engine, config);
    this.parameters = this.weights.parameters.map(({ name, spec }) => ({ name, shape: spec.shape }));
    this.state = new ModelState(this.engine, this.weights);
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

  /** Fresh weights (section 4.1 of the paper: N(0, 0.02²)), zero moments. */
  initialize(seed: number): Promise<void> {
    return this.inOrder(async () => {
      this.weights.initialize(seed, this.config.initializerRange);
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
   * One optimizer step over the parts of one global batch (more than one: gradient accumulation, which changes nothing but
   * the order of summation). The device skips the update when the gradient is not finite.
   * @throws LxmertError NOT_FINITE, BAD_DATA
   */
  async step(parts: readonly Batch[], options: StepOptions): Promise<StepResult> {
    const { tallies, gradNorm, finite } = await this.train(parts, options, (record) =>
      this.state.update(activeGroups(options.weights), record, this.adam),
    );
    const { total, losses } = this.losses(tallies, options.weights);
    if (!finite || !Number.isFinite(total)) throw notFinite(parts, options, losses);
    return { loss: total, losses, gradNorm };
  }

  /** The gradients of a step without its update; read them with `read('gradient', name)`. */
  async gradients(parts: readonly Batch[], options: StepOptions): Promise<Tallies> {
    return (await this.train(parts, options, async () => undefined)).tallies;
  }

  /**
   * Bytes of each arena that steps over these parts need. The workspace is only planned, not taken; everything else is.
   * @throws LxmertError BAD_DATA, and when the rest does not fit
   */
  memoryFor(parts: readonly Batch[], weights: LossWeights): Promise<Readonly<Record<ArenaName, number>>> {
    return this.inOrder(async () => {
      let workspace = 0;
      for (const part of parts) {
        const { needed } = await this.place(part, 'train', weights, (staged) =>
          this.forwardAndBackward(staged, weights, new GradientLedger()),
        );
        workspace = Math.max(workspace, needed);
      }
      return { ...this.engine.memory(), workspace };
    });
  }

  /** Forward only, dropout off: sums per loss. */
  evaluate(batch: Batch, weights: LossWeights): Promise<Tallies> {
    return this.forward(batch, weights, { use: async (_, tallies) => tallies() });
  }

  /** Forward only, dropout off, and a look at the outputs. */
  forward<T>(batch: Batch, weights: LossWeights, { use, maps: makeMaps }: ForwardOptions<T>): Promise<T> {
    const counts = labelCounts(batch);
    const keys: StepKeys = { step: 0, seed: 0, learningRate: 0, lossScale: [] };
    return this.inOrder(async () => {
      const run = (staged: StagedBatch): [PretrainOutputs, AttentionMaps] => {
        const tape = new Tape(this.engine, { training: false });
        const maps = makeMaps?.(tape) ?? new Map<string, Tensor>();
        const encoder = { tape, weights: this.weights, config: this.config, maps };
        return [pretrainForward(encoder, staged, weights, this.state.tallies), maps];
      };
      const plan = makeMaps ? 'forward with maps' : 'forward';
      const { staged, uploaded } = await this.stage(batch, keys, plan, weights, run);
      this.state.clearTallies();
      const [outputs, maps] = run(staged);
      const tallies = async (): Promise<Tallies> =>
        parseReport(await this.engine.readFloats(this.state.report), counts).tallies;
      const [result] = await Promise.all([use(outputs, tallies, maps), uploaded]);
      return result;
    });
  }

  /** Mean of each loss that is on, with its normalizer and without its weight, and their weighted sum. */
  losses(tallies: Tallies, weights: LossWeights): Pick<StepResult, 'losses'> & { readonly total: number } {
    return meanLosses(tallies, weights, this.config.visualLossNormalizer);
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

  /** Forward and backward of all parts into the gradient arena, then `finish`; later calls wait for the enqueuing only. */
  private async train(
    parts: readonly Batch[],
    options: StepOptions,
    finish: (record: Tensor) => Promise<void>,
  ): Promise<ReturnType<typeof parseReport>> {
    if (parts.length === 0) throw new LxmertError('BAD_ARGUMENT', 'a step needs at least one batch');
    const counts = addCounts(parts.map(labelCounts));
    const started = await this.inOrder(async () => {
      const ledger = new GradientLedger();
      this.state.clearTallies();
      const uploads: Promise<void>[] = [];
      let record: Tensor | null = null;
      for (const part of parts) {
        const { staged, uploaded } = await this.accumulate(part, options, counts, ledger);
        record = staged.record;
        uploads.push(uploaded);
      }
      this.state.clearUnwritten(activeGroups(options.weights), ledger);
      await finish(record as Tensor);
      const done = Promise.all([this.engine.readFloats(this.state.report), ...uploads]);
      return { done };
    });
    const [report] = await started.done;
    return parseReport(report, counts);
  }

  /** Forward and backward of one part, added to what the ledger says is there. */
  private async accumulate(
    part: Batch,
    { step, seed, learningRate, weights }: StepOptions,
    counts: Counts,
    ledger: GradientLedger,
  ): Promise<{ staged: StagedBatch; uploaded: Promise<void> }> {
    const scales = lossScale(weights, counts, this.config.visualLossNormalizer);
    const keys: StepKeys = { step, seed, learningRate, lossScale: scales };
    const result = await this.stage(part, keys, 'train', weights, (staged) =>
      this.forwardAndBackward(staged, weights, new GradientLedger()),
    );
    this.forwardAndBackward(result.staged, weights, ledger);
    return result;
  }

  private forwardAndBackward(staged: StagedBatch, weights: LossWeights, ledger: GradientLedger): void {
    const tape = new Tape(this.engine, { training: true, ledger });
    pretrainForward({ tape, weights: this.weights, config: this.config }, staged, weights, this.state.tallies);
    tape.backward();
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
    try {
      return await this.placeAndUpload(batch, keys, kind, weights, run);
    } catch (error) {
      this.slotBytes = 0; // the arena may be empty
      const { visualFeatDim } = this.config;
      throw await explainOutOfMemory(error, { engine: this.engine, batch, featureDim: visualFeatDim, run });
    }
  }

  private async placeAndUpload(
    batch: Batch,
    keys: StepKeys,
    kind: string,
    weights: LossWeights,
    run: (staged: StagedBatch) => unknown,
  ): Promise<{ staged: StagedBatch; uploaded: Promise<void> }> {
    const { engine } = this;
    const { staged, capacities, start, bytes, needed } = await this.place(batch, kind, weights, run);
    if (needed > engine.memory().workspace) {
      // Not both at a time: what the old one held is dead.
      engine.reserve('workspace', 0);
      await engine.synchronize();
      engine.reserve('workspace', needed);
    } else engine.resetWorkspace();
    const buffer = await this.host.take(this.slot, bytes);
    const source = stageInto(buffer, { batch, keys, capacities, featureDim: this.config.visualFeatDim });
    const uploaded = engine.upload(engine.tensor('inputs', start, [bytes / elementBytes], 'i32'), source);
    uploaded.catch(() => undefined); // seen where the step's numbers are read
    this.host.lend(this.slot, uploaded);
    return { staged, uploaded };
  }

  /** The next input slot for a batch, and the workspace bytes that `run` on it needs. Waits only when the slots grow. */
  private async place(batch: Batch, kind: string, weights: LossWeights, run: (staged: StagedBatch) => unknown) {
    checkBatch(batch, this.config, attentionLimits[this.engine.device].rows);
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
    const on = lossNames.filter((name) => weights[name] !== 0);
    const needed = this.planned(JSON.stringify([kind, capacities, on]), () => run(staged));
    return { staged, capacities, start, bytes, needed };
  }

  private planned(key: string, run: () => unknown): number {
    const bytes = this.plans.get(key) ?? this.engine.plan(run);
    this.plans.set(key, bytes);
    return bytes;
  }
}

function notFinite(parts: readonly Batch[], { step }: StepOptions, losses: StepResult['losses']): LxmertError {
  const bad = lossNames.filter((name) => losses[name] !== undefined && !Number.isFinite(losses[name]));
  const ids = parts.flatMap((part) => part.sampleIds);
  const what = bad.length > 0 ? `the loss of ${bad.join(', ')}` : 'the gradient';
  const more = ids.length > 8 ? ` and ${ids.length - 8} more` : '';
  return new LxmertError(
    'NOT_FINITE',
    `step ${step}: ${what} is not finite; the weights were left as they were. Samples: ${ids.slice(0, 8).join(', ')}${more}. ` +
      'A lower learning rate often helps; if it happens at once, look at the features of these samples',
  );
}

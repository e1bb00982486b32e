import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batch.js';
import { attentionLimits, bytesOf, elementBytes, type Engine, type Tensor } from '../engine/index.js';
import { lossNames, type LossWeights } from './losses.js';
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

/** What is run on a staged batch. */
export interface StagedWork {
  /** What its op calls depend on besides the batch and the losses that are on. */
  readonly kind: string;
  readonly weights: LossWeights;
  readonly run: (staged: StagedBatch) => unknown;
}

interface Placed {
  readonly staged: StagedBatch;
  readonly capacities: Capacities;
  /** All of the slot that the batch takes. */
  readonly slot: Tensor;
  /** Bytes of the workspace that the work needs. */
  readonly workspace: number;
  /** All that the work's op calls depend on. */
  readonly key: string;
}

/**
 * Where steps find their data: two input slots, which batches take in turn, and a workspace as large as the largest work so
 * far has needed. Both grow only.
 */
export class StepMemory {
  private slot = 0;
  private slotBytes = 0;
  /** What the last batch of each slot was staged in, and when that has been uploaded. */
  private readonly hosts: { readonly buffer: SharedArrayBuffer; readonly free: Promise<void> }[] = [];
  /** Workspace bytes by capacities, losses and kind of work. */
  private readonly plans = new Map<string, number>();

  constructor(
    private readonly engine: Engine,
    private readonly config: ModelConfig,
  ) {}

  /**
   * Uploads a batch into the next slot and makes room for the work on it. Waits for the upload of the batch before the last,
   * and when memory has to grow.
   * @throws LxmertError BAD_DATA
   */
  async stage(
    batch: Batch,
    keys: StepKeys,
    work: StagedWork,
  ): Promise<{ staged: StagedBatch; key: string; uploaded: Promise<void> }> {
    const { engine } = this;
    const { staged, capacities, slot, workspace, key } = await this.place(batch, work);
    if (workspace > engine.memory().workspace) {
      // Not both at a time: what the old one held is dead.
      engine.reserve('workspace', 0);
      await engine.synchronize();
      engine.reserve('workspace', workspace);
    } else engine.resetWorkspace();
    const buffer = await this.hostBuffer(bytesOf(slot));
    const bytes = stageBytes(batch, keys, capacities, this.config.visualFeatDim, buffer);
    // While the step before computes: it reads the other slot.
    const uploaded = engine.upload(slot, bytes, { ahead: true });
    // Its error is seen where the step's numbers are read.
    this.hosts[this.slot] = { buffer, free: uploaded.catch(() => undefined) };
    this.slot = 1 - this.slot;
    return { staged, key, uploaded };
  }

  /**
   * Memory to stage the next batch in, that of the batch before the last if it is large enough. Shared memory is uploaded
   * where it lies; a plain buffer, which could be transferred meanwhile, would be copied first.
   */
  private async hostBuffer(bytes: number): Promise<SharedArrayBuffer> {
    const last = this.hosts[this.slot];
    if (!last || last.buffer.byteLength < bytes) return new SharedArrayBuffer(bytes);
    await last.free;
    return last.buffer;
  }

  /** The slot for the next batch, and what the work on it needs. Waits only when the slots grow. @throws LxmertError BAD_DATA */
  async place(batch: Batch, { kind, weights, run }: StagedWork): Promise<Placed> {
    const { engine } = this;
    checkBatch(batch, this.config, attentionLimits[engine.device].rows);
    const featureDim = this.config.visualFeatDim;
    const capacities = capacitiesOf(batch);
    const bytes = stagedBytes(capacities, featureDim);
    if (bytes > this.slotBytes) {
      await engine.synchronize();
      this.slotBytes = bytes;
      engine.reserve('inputs', 2 * bytes);
    }
    const start = this.slot * this.slotBytes;
    const staged = stagedTensors(engine, capacities, featureDim, start);
    const on = lossNames.filter((name) => weights[name] !== 0);
    const plan = JSON.stringify([kind, capacities, on]);
    const workspace = this.plans.get(plan) ?? engine.plan(() => run(staged));
    this.plans.set(plan, workspace);
    const slot = engine.tensor('inputs', start, [bytes / elementBytes], 'i32');
    return { staged, capacities, slot, workspace, key: `${plan} ${this.slot}` };
  }
}

import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { attentionLimits, elementBytes, type Engine, type Tensor } from '../engine/index.js';
import { featureTable } from './featureTable.js';
import { HostSlots } from './hostSlots.js';
import { explainOutOfMemory } from './outOfMemory.js';
import { capacitiesOf, type Capacities } from './capacities.js';
import { checkBatch } from './checkBatch.js';
import { stageInto, stagedBytes, stagedTensors, type StagedBatch, type StepKeys } from './staging.js';

/** What is run on a staged batch. */
export interface StagedWork {
  /** What its op calls depend on besides the batch. */
  readonly kind: string;
  readonly run: (staged: StagedBatch) => unknown;
}

interface Uploaded {
  readonly staged: StagedBatch;
  /** All that the work's op calls depend on. */
  readonly key: string;
  readonly uploaded: Promise<void>;
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
  private readonly host: HostSlots;
  /** Workspace bytes by capacities and kind of work. */
  private readonly plans = new Map<string, number>();

  constructor(
    private readonly engine: Engine,
    private readonly config: ModelConfig,
  ) {
    this.host = new HostSlots(engine);
  }

  /**
   * Uploads a batch into the next slot and makes room for the work on it. Waits for the upload of the batch before the last,
   * and when memory has to grow.
   * @throws LxmertError BAD_DATA, OUT_OF_MEMORY with the largest batch that fits
   */
  async stage(batch: Batch, keys: StepKeys, work: StagedWork): Promise<Uploaded> {
    try {
      return await this.placeAndUpload(batch, keys, work);
    } catch (error) {
      const { engine, config } = this;
      const explained = await explainOutOfMemory(error, {
        engine,
        batch,
        featureDim: config.visualFeatDim,
        run: work.run,
      });
      if (explained !== error) this.slotBytes = 0; // the arena is empty
      throw explained;
    }
  }

  private async placeAndUpload(batch: Batch, keys: StepKeys, work: StagedWork): Promise<Uploaded> {
    const { engine } = this;
    const { staged, capacities, slot, workspace, key } = await this.place(batch, work);
    if (workspace > engine.memory().workspace) {
      // Not both at a time: what the old one held is dead.
      engine.reserve('workspace', 0);
      await engine.synchronize();
      engine.reserve('workspace', workspace);
    } else engine.resetWorkspace();
    // While the step before computes: it reads the other slot.
    const buffer = await this.host.take(this.slot, this.slotBytes);
    const bytes = stageInto(buffer, { batch, keys, capacities, featureDim: this.config.visualFeatDim });
    const uploaded = engine.upload(slot, bytes, { ahead: true });
    uploaded.catch(() => undefined); // seen where the step's numbers are read
    this.host.lend(this.slot, uploaded);
    this.slot = 1 - this.slot;
    return { staged, key, uploaded };
  }

  /** The slot for the next batch, and what the work on it needs. Waits only when the slots grow. @throws LxmertError BAD_DATA */
  async place(batch: Batch, { kind, run }: StagedWork): Promise<Placed> {
    const { engine } = this;
    const featureDim = this.config.visualFeatDim;
    const [tableRows] = featureTable(engine, featureDim).shape;
    checkBatch(batch, this.config, { mostRows: attentionLimits[engine.device].rows, tableRows });
    const capacities = capacitiesOf(batch);
    const bytes = stagedBytes(capacities, featureDim);
    if (bytes > this.slotBytes) {
      await engine.synchronize();
      engine.reserve('inputs', 2 * bytes);
      this.slotBytes = bytes;
    }
    const start = this.slot * this.slotBytes;
    const staged = stagedTensors(engine, capacities, featureDim, start);
    const plan = JSON.stringify([kind, capacities]);
    const workspace = this.plans.get(plan) ?? engine.plan(() => run(staged));
    this.plans.set(plan, workspace);
    const slot = engine.tensor('inputs', start, [bytes / elementBytes], 'i32');
    return { staged, capacities, slot, workspace, key: `${plan} ${this.slot}` };
  }
}

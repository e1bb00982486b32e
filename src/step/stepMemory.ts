import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import { attentionLimits, elementBytes, type Engine, type Tensor } from '../engine/index.js';
import { featureTable } from './featureTable.js';
import { HostSlots } from './hostSlots.js';
import { explainOutOfMemory } from './outOfMemory.js';
import { capacitiesOf, type Capacities } from './capacities.js';
import { checkBatch } from './checkBatch.js';
import { stageInto, stagedBytes, stagedTensors, type StagedBatch, type StepKeys } from './staging.js';

/** Work on a staged batch. */
export interface StagedWork {
  /** A key for everything except the batch on which the op calls depend. */
  readonly kind: string;
  readonly run: (staged: StagedBatch) => unknown;
}

interface Uploaded {
  readonly staged: StagedBatch;
  /** A key for everything on which the op calls of the work depend. */
  readonly key: string;
  readonly uploaded: Promise<void>;
}

interface Placed {
  readonly staged: StagedBatch;
  readonly capacities: Capacities;
  /** The part of the input slot that the batch occupies. */
  readonly slot: Tensor;
  /** Bytes of the workspace that the work needs. */
  readonly workspace: number;
  /** A key for everything on which the op calls of the work depend. */
  readonly key: string;
}

/**
 * Device memory of steps: two input slots, used in turn, and a workspace that is large enough for the largest work so far.
 * Slots and workspace only grow.
 */
export class StepMemory {
  readonly #engine: Engine;
  readonly #config: ModelConfig;
  readonly #host: HostSlots;
  /** The input slot of the next batch, 0 or 1. */
  #slot = 0;
  #slotBytes = 0;
  /** The workspace bytes that each combination of capacities and kind of work needs. */
  readonly #plans = new Map<string, number>();

  constructor(engine: Engine, config: ModelConfig) {
    this.#engine = engine;
    this.#config = config;
    this.#host = new HostSlots(engine);
  }

  /** Checks a batch. @throws LxmertError BAD_DATA for a batch that does not fit the model or the device */
  check(batch: Batch): void {
    const [tableRows] = featureTable(this.#engine, this.#config.visualFeatDim).shape;
    checkBatch(batch, this.#config, { mostRows: attentionLimits[this.#engine.device].rows, tableRows });
  }

  /**
   * Uploads a checked batch into the next slot, and reserves the workspace that the work needs. Waits until the last upload
   * to this slot has ended, and, if memory has to grow, until all enqueued work has ended.
   * @throws LxmertError OUT_OF_MEMORY with the largest batch that fits
   */
  async stage(batch: Batch, keys: StepKeys, work: StagedWork): Promise<Uploaded> {
    try {
      return await this.#placeAndUpload(batch, keys, work);
    } catch (error) {
      const [engine, config] = [this.#engine, this.#config];
      const explained = await explainOutOfMemory(error, {
        engine,
        batch,
        featureDim: config.visualFeatDim,
        run: work.run,
      });
      if (explained !== error) this.#slotBytes = 0; // the arena is empty
      throw explained;
    }
  }

  async #placeAndUpload(batch: Batch, keys: StepKeys, work: StagedWork): Promise<Uploaded> {
    const engine = this.#engine;
    const { staged, capacities, slot, workspace, key } = await this.place(batch, work);
    if (workspace > engine.memory().workspace) {
      // The old workspace is freed first, so that both do not need memory at the same time. Nothing uses it any more.
      engine.reserve('workspace', 0);
      await engine.synchronize();
      engine.reserve('workspace', workspace);
    } else engine.resetWorkspace();
    // The previous step may still run, but it reads the other slot.
    const buffer = await this.#host.take(this.#slot, this.#slotBytes);
    const bytes = stageInto(buffer, { batch, keys, capacities, featureDim: this.#config.visualFeatDim });
    const uploaded = engine.upload(slot, bytes, { ahead: true });
    uploaded.catch(() => undefined); // the error is thrown again where the results of the step are read
    this.#host.lend(this.#slot, uploaded);
    this.#slot = 1 - this.#slot;
    return { staged, key, uploaded };
  }

  /** The slot of the next batch, and the workspace that the work on it needs. Waits only when the slots grow. */
  async place(batch: Batch, { kind, run }: StagedWork): Promise<Placed> {
    const engine = this.#engine;
    const featureDim = this.#config.visualFeatDim;
    const capacities = capacitiesOf(batch);
    const bytes = stagedBytes(capacities, featureDim);
    if (bytes > this.#slotBytes) {
      await engine.synchronize();
      engine.reserve('inputs', 2 * bytes);
      this.#slotBytes = bytes;
    }
    const start = this.#slot * this.#slotBytes;
    const staged = stagedTensors(engine, capacities, featureDim, start);
    const plan = JSON.stringify([kind, capacities]);
    const workspace = this.#plans.get(plan) ?? engine.plan(() => run(staged));
    this.#plans.set(plan, workspace);
    const slot = engine.tensor('inputs', start, [bytes / elementBytes], 'i32');
    return { staged, capacities, slot, workspace, key: `${plan} ${this.#slot}` };
  }
}

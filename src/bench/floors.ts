import type { ModelConfig } from '../config/modelConfig.js';
import type { OpName, Precision } from '../engine/index.js';
import { plainSum } from '../pretrain/losses.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import { adam, learningRate, seed } from './recipe.js';
import { benchBatch } from './batch.js';
import { rowCounts } from './flops.js';
import { launchesOf } from './launches.js';
import { workOf, type OpWork } from './opWork.js';
import type { Rates } from './rates.js';

/** Published measurements of NVIDIA's H200: dense bfloat16 products, and copies in its memory. */
export const h200: Rates = { sgemmGflops: 785_000, copyGigabytesPerSecond: 4000 };

export interface FloorsOptions {
  readonly config: ModelConfig;
  readonly batch: number;
  readonly tokens: readonly [number, number];
  readonly objects: number;
  readonly precision?: Precision | undefined;
  /** The device whose op calls are counted; `cuda` by default. */
  readonly device?: 'cpu' | 'cuda' | undefined;
  /** Rates of the device; those of an H200 by default. */
  readonly rates?: Rates | undefined;
}

export interface OpFloor extends OpWork {
  readonly op: OpName;
  /** Kernels launched on CUDA. */
  readonly launches: number;
  /**
   * Sum over the calls of the larger of two times: FLOPs divided by the product rate, and bytes divided by the copy
   * rate.
   */
  readonly milliseconds: number;
}

export interface FloorsReport extends Rates {
  readonly batch: number;
  readonly precision: Precision;
  /** The op with the longest time comes first. */
  readonly ops: readonly OpFloor[];
  readonly total: Omit<OpFloor, 'op'>;
}

const nothing = { calls: 0, launches: 0, flops: 0, bytes: 0, milliseconds: 0 };

/**
 * For each op, the shortest possible time in a pre-training step on a device with these rates. The time is computed
 * from the op calls of the step. A dry run counts the calls, so no device is needed.
 */
export async function stepFloors(options: FloorsOptions): Promise<FloorsReport> {
  const { config, tokens, objects, precision = 'bfloat16', device = 'cuda', rates = h200 } = options;
  const batch = benchBatch(config, { samples: options.batch, tokens, objects, seed });
  const counts = rowCounts(batch);
  const model = new Pretrainer({ config, adam, engine: { dryRun: true, device, precision } });
  const floors = new Map<OpName, Omit<OpFloor, 'op'>>();
  const { activationDType } = model.engine;
  model.engine.observer = (op, args) => {
    const { flops, bytes } = workOf(op, args, counts, activationDType);
    const milliseconds = Math.max(flops / rates.sgemmGflops, bytes / rates.copyGigabytesPerSecond) / 1e6;
    const launches = launchesOf(op, args, activationDType);
    floors.set(op, sumOf(floors.get(op) ?? nothing, { calls: 1, launches, flops, bytes, milliseconds }));
  };
  await model.step([batch], { step: 0, learningRate, seed, weights: plainSum });
  await model.dispose();
  return {
    batch: batch.size,
    precision,
    ...rates,
    ops: [...floors].map(([op, floor]) => ({ op, ...floor })).sort((a, b) => b.milliseconds - a.milliseconds),
    total: [...floors.values()].reduce(sumOf, nothing),
  };
}

function sumOf(a: Omit<OpFloor, 'op'>, b: Omit<OpFloor, 'op'>): Omit<OpFloor, 'op'> {
  return {
    calls: a.calls + b.calls,
    launches: a.launches + b.launches,
    flops: a.flops + b.flops,
    bytes: a.bytes + b.bytes,
    milliseconds: a.milliseconds + b.milliseconds,
  };
}

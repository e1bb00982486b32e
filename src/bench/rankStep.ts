import type { ModelConfig } from '../config/modelConfig.js';
import { LxmertError } from '../errors.js';
import type { Precision } from '../engine/index.js';
import { plainSum } from '../pretrain/losses.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import { firstPart, type StepSharing } from '../step/gradientParts.js';
import { benchBatch } from './batch.js';
import { thisMachine, threadCount, type Machine } from './machine.js';
import { adam, learningRate, seed } from './recipe.js';
import { timed, timesOf, type Times } from './statistics.js';

export interface RankBenchOptions {
  readonly config: ModelConfig;
  /** Samples of a step, over all ranks. */
  readonly batch: number;
  /** Samples of the step in one process; `batch` unless given. */
  readonly aloneBatch?: number | undefined;
  readonly tokens: readonly [number, number];
  readonly objects: number;
  /** Number of timed steps, and of steps before them. */
  readonly steps: number;
  readonly warmup: number;
  /** Where all ranks compute; default `cpu`. */
  readonly device?: 'cpu' | 'cuda' | undefined;
  readonly precision?: Precision | undefined;
  /** CPU threads of each rank, and of the process that makes the step alone; 0: one for each core. */
  readonly threads: number;
  /** Number of parts of a batch whose gradients are computed separately; by default one for each rank. */
  readonly gradientParts?: number | undefined;
  /** The connection to the other ranks; absent if there is only this process. */
  readonly sharing?: Omit<StepSharing, 'parts'> | undefined;
  readonly onProgress?: (line: string) => void;
}

/** The speed of one kind of step. */
interface Speed {
  readonly samplesPerSecond: number;
  readonly stepMilliseconds: Times;
}

export interface RankBenchReport {
  readonly device: 'cpu' | 'cuda';
  readonly precision: Precision;
  readonly ranks: number;
  readonly threads: number;
  readonly batch: number;
  readonly gradientParts?: number | undefined;
  readonly shardOptimizer: boolean;
  /** One process with `aloneBatch` samples, without parts. */
  readonly alone: Speed;
  /** `batch` samples on all ranks, with parts. */
  readonly shared: Speed;
  readonly aloneBatch: number;
  /** Samples a second, divided by those of `alone`. */
  readonly ratio: number;
  /** `ratio` divided by the number of ranks. */
  readonly efficiency: number;
  /** Mean times of a step on rank 0; absent if there are no other ranks. */
  readonly communication?:
    | {
        readonly sentBytes: number;
        /** Time in which values were sent, received and added. */
        readonly milliseconds: number;
        /** The part of this time in which the step waited, because it did not pass during the backward pass. */
        readonly waitingMilliseconds: number;
        readonly notHidden: number;
      }
    | undefined;
  readonly machine: Machine;
}

/**
 * Measures the time of pre-training steps on all ranks. In turn with them, it measures the same steps in the process of
 * rank 0 alone, while the other ranks wait. So other load on the machine affects both measurements.
 * @returns the report on rank 0, undefined on other ranks
 * @throws LxmertError BAD_ARGUMENT; RANK_LOST
 */
export async function benchRanks(options: RankBenchOptions): Promise<RankBenchReport | undefined> {
  const { config, batch, tokens, objects, steps, warmup, gradientParts, onProgress: tell = () => undefined } = options;
  const sharing = options.sharing ?? { rank: 0, ranks: 1 };
  const { rank, ranks, exchange } = sharing;
  const { device = 'cpu', precision = 'float32', aloneBatch = batch } = options;
  const parts = gradientParts ?? ranks;
  if (parts > batch)
    throw new LxmertError('BAD_ARGUMENT', `${batch} samples in ${parts} parts: expected at least one sample a part`);
  const machine = thisMachine();
  const threads = threadCount(options.threads);
  const batchOf = (samples: number, part: number) =>
    benchBatch(config, { samples, tokens, objects, seed: seed + part });
  const own = Array.from({ length: parts }, (_, part) => part)
    .slice(firstPart({ parts, ranks }, rank), firstPart({ parts, ranks }, rank + 1))
    .map((part) => ({
      part,
      batch: batchOf(Math.floor((batch * (part + 1)) / parts) - Math.floor((batch * part) / parts), part),
    }));
  const open = () => new Pretrainer({ config, adam, engine: { device, precision, threads } });
  const whole = rank === 0 ? { model: open(), batch: batchOf(aloneBatch, 0) } : undefined;
  const shared = open();
  try {
    await whole?.model.initialize(seed);
    await shared.initialize(seed);
    await shared.share({ ...sharing, parts, sameBits: gradientParts !== undefined });
    const times: { alone: number[]; shared: number[] } = { alone: [], shared: [] };
    let before = sharing.communicator?.times;
    for (let step = 0; step < warmup + steps; step++) {
      const keys = { step, learningRate, seed, weights: plainSum };
      const alone = whole ? await timed(() => whole.model.step([whole.batch], keys)) : 0;
      await exchange?.('turn', null);
      if (step === warmup) before = sharing.communicator?.times;
      const together = await timed(() =>
        shared.step(
          own.map((each) => each.batch),
          { ...keys, partOf: own.map(({ part }) => part) },
        ),
      );
      if (step < warmup) continue;
      times.alone.push(alone);
      times.shared.push(together);
      tell(`step ${step - warmup + 1} of ${steps}: alone ${alone.toFixed(1)} ms, shared ${together.toFixed(1)} ms`);
    }
    const after = sharing.communicator?.times;
    if (rank > 0) return undefined;
    const speeds = { alone: speedOf(times.alone, aloneBatch), shared: speedOf(times.shared, batch) };
    const { moving = 0, waiting = 0, bytes = 0 } = before ?? {};
    const ratio = speeds.shared.samplesPerSecond / speeds.alone.samplesPerSecond;
    return {
      ...{ device, precision, aloneBatch, ratio, efficiency: ratio / ranks },
      ...{ ranks, threads, batch, gradientParts, shardOptimizer: sharing.shardOptimizer ?? false, ...speeds, machine },
      communication: after && {
        sentBytes: (after.bytes - bytes) / steps,
        milliseconds: (1000 * (after.moving - moving)) / steps,
        waitingMilliseconds: (1000 * (after.waiting - waiting)) / steps,
        notHidden: (after.waiting - waiting) / (after.moving - moving),
      },
    };
  } finally {
    await whole?.model.dispose();
    await shared.dispose();
  }
}

function speedOf(milliseconds: readonly number[], samples: number): Speed {
  const stepMilliseconds = timesOf(milliseconds);
  return { stepMilliseconds, samplesPerSecond: (1000 * samples) / stepMilliseconds.median };
}

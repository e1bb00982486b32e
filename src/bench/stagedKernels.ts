import type { ModelConfig } from '../config/modelConfig.js';
import { elementBytes, type Engine, type OpArgument, type Tensor } from '../engine/index.js';
import { capacitiesOf } from '../step/capacities.js';
import { stagedBytes, stagedTensors, stageInto } from '../step/staging.js';
import { benchBatch } from './batch.js';
import { rowCounts, type RowCounts } from './flops.js';
import { KernelSpace, type Kernel } from './kernel.js';
import { chunkList } from './kernelCalls.js';

const seed = 9595;

export interface KernelShapes {
  readonly config: ModelConfig;
  /** Smallest and largest length of a sample, in tokens. */
  readonly tokens: readonly [number, number];
  readonly objects: number;
}

/** A random batch on the device, as in a step. */
export interface StagedKernels {
  readonly counts: RowCounts;
  /** The arguments of a kernel. The arguments of the previous kernel become invalid. */
  argsOf(kernel: Kernel): readonly OpArgument[];
}

/** The optimizer's list of chunks for this number of parameters, on the device. */
export async function stageChunks(engine: Engine, parameters: number): Promise<Tensor> {
  const list = chunkList(parameters);
  engine.reserve('state', list.byteLength);
  const chunks = engine.tensor('state', 0, [list.length / 2, 2], 'i32');
  await engine.upload(chunks, list);
  return chunks;
}

export async function stageKernels(
  engine: Engine,
  { config, tokens, objects }: KernelShapes,
  samples: number,
  chunks: Tensor,
): Promise<StagedKernels> {
  const batch = benchBatch(config, { samples, tokens, objects, seed });
  const capacities = capacitiesOf(batch);
  const bytes = stagedBytes(capacities, config.visualFeatDim);
  engine.reserve('inputs', bytes);
  const keys = { step: 1, seed, learningRate: 1e-4, lossScale: new Array<number>(6).fill(1 / samples) };
  await engine.upload(
    engine.tensor('inputs', 0, [bytes / elementBytes], 'i32'),
    stageInto(new SharedArrayBuffer(bytes), { batch, keys, capacities, featureDim: config.visualFeatDim }),
  );
  const staged = stagedTensors(engine, capacities, config.visualFeatDim, 0);
  return {
    counts: rowCounts(batch),
    argsOf: ({ args }) => {
      const planned = new KernelSpace(engine, staged, chunks);
      const needed = { workspace: engine.plan(() => args(planned)), parameters: planned.parameterBytes };
      for (const arena of ['workspace', 'parameters'] as const)
        if (needed[arena] > engine.memory()[arena]) engine.reserve(arena, needed[arena]);
      return args(new KernelSpace(engine, staged, chunks));
    },
  };
}

import type { Batch } from '../data/batches/batch.js';
import type { Engine } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { capacitiesOf } from './capacities.js';
import { stagedBytes, stagedTensors, type StagedBatch } from './staging.js';
import { gibibytes } from '../figures.js';

/** Bytes of the two arenas whose size depends on the batch. */
interface Room {
  readonly inputs: number;
  readonly workspace: number;
}

/** The work for which the device had no memory. */
export interface Refused {
  readonly engine: Engine;
  readonly batch: Batch;
  readonly featureDim: number;
  /** Makes the op calls of the work on a batch. In this file they are only planned. */
  readonly run: (staged: StagedBatch) => unknown;
}

/**
 * The error for a batch that does not fit the device's memory, with the bytes that each arena needs and the largest
 * number of such samples that fits. Returns any other error unchanged. Leaves both arenas empty.
 */
export async function explainOutOfMemory(error: unknown, refused: Refused): Promise<unknown> {
  if (!isOutOfMemory(error)) return error;
  const { engine, batch } = refused;
  const { parameters, gradients, state, features } = engine.memory();
  const needed = { parameters, gradients, state, ...(features > 0 && { features }), ...roomFor(refused, batch.size) };
  const most = await largestFitting(batch.size, (samples) => fits(engine, roomFor(refused, samples)));
  await empty(engine);
  const each = Object.entries(needed).map(([arena, bytes]) => `${arena} ${gibibytes(bytes)}`);
  const advice =
    most > 0
      ? `The largest batch of such samples that fits is ${most}`
      : 'Not even one such sample fits: use a smaller model, or samples with fewer tokens and objects';
  return new LxmertError(
    'OUT_OF_MEMORY',
    `a batch of ${batch.size} samples does not fit: ${each.join(', ')}. ${advice}. The device: ${error.message}`,
    { cause: error },
  );
}

/** The bytes that this many similar samples need: two slots of inputs, and the workspace. Reserves nothing. */
function roomFor({ engine, batch, featureDim, run }: Refused, samples: number): Room {
  const capacities = capacitiesOf(batch, samples);
  const workspace = engine.plan(() => run(stagedTensors(engine, capacities, featureDim, 0)));
  return { inputs: 2 * stagedBytes(capacities, featureDim), workspace };
}

/** The largest number below `tooMany` that fits; 0 if none does. More samples never need less memory. */
async function largestFitting(tooMany: number, fit: (samples: number) => Promise<boolean>): Promise<number> {
  let most = 0;
  while (tooMany - most > 1) {
    const middle = (most + tooMany) >> 1;
    if (await fit(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}

/**
 * Tries to reserve the memory. Only an allocation shows whether it fits, because it depends on how much memory other
 * programs use, and on whether the rest is in one piece.
 */
async function fits(engine: Engine, { inputs, workspace }: Room): Promise<boolean> {
  await empty(engine);
  try {
    engine.reserve('inputs', inputs);
    engine.reserve('workspace', workspace);
    return true;
  } catch (error) {
    if (isOutOfMemory(error)) return false;
    throw error;
  }
}

async function empty(engine: Engine): Promise<void> {
  engine.reserve('inputs', 0);
  engine.reserve('workspace', 0);
  await engine.synchronize();
}

function isOutOfMemory(error: unknown): error is Error {
  return (error as { code?: unknown }).code === 'OUT_OF_MEMORY';
}

import type { Batch } from '../data/batches/batch.js';
import type { Engine } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { capacitiesOf } from './capacities.js';
import { stagedBytes, stagedTensors, type StagedBatch } from './staging.js';

/** Bytes of the arenas that grow with the batch. */
interface Room {
  readonly inputs: number;
  readonly workspace: number;
}

/** What the device had no room for. */
export interface Refused {
  readonly engine: Engine;
  readonly batch: Batch;
  readonly featureDim: number;
  /** Makes the op calls of the work on a batch; only planned here. */
  readonly run: (staged: StagedBatch) => unknown;
}

/**
 * What to say when the device has no room for a batch: what each arena needs, and how many such samples it would take. Any
 * other error is given back as it is. Leaves both growing arenas empty.
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
      : 'Not even one such sample fits: take a smaller model, or samples of fewer tokens and objects';
  return new LxmertError(
    'OUT_OF_MEMORY',
    `a batch of ${batch.size} samples does not fit: ${each.join(', ')}. ${advice}. The device: ${error.message}`,
    { cause: error },
  );
}

/** What so many samples like those of the batch need: two slots of inputs, and the workspace. Takes nothing. */
function roomFor({ engine, batch, featureDim, run }: Refused, samples: number): Room {
  const capacities = capacitiesOf(batch, samples);
  const workspace = engine.plan(() => run(stagedTensors(engine, capacities, featureDim, 0)));
  return { inputs: 2 * stagedBytes(capacities, featureDim), workspace };
}

/** The largest number below `tooMany` that fits; 0 when none does. More never need less. */
async function largestFitting(tooMany: number, fit: (samples: number) => Promise<boolean>): Promise<number> {
  let most = 0;
  while (tooMany - most > 1) {
    const middle = (most + tooMany) >> 1;
    if (await fit(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}

/** Asks the device itself: only it knows what others hold, and in which pieces its memory is free. */
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

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toPrecision(3)} GiB`;

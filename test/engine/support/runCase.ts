/** Runs calls on an engine, each in separate memory between guard zones. */
import type { Engine } from '../../../src/engine/index.js';
import type { OpName } from '../../../src/engine/native.js';
import { compare } from './compare.js';
import { callArguments, download, placeTensors, strayWrites, upload, valuesOf } from './memory.js';
import type { CaseArgument, CaseTensor, OpCase } from './opCase.js';
import { Rng } from './rng.js';

export interface RunOptions {
  /** Alignment of tensors in bytes. */
  readonly alignment?: number;
  /** Random numbers for the places of tensors. */
  readonly layoutSeed?: number;
}

export interface Run {
  /** The values of a tensor after the call. */
  readonly values: (tensor: CaseTensor) => Float32Array | Int32Array;
  /** Forbidden writes, to inputs and outside of all tensors; empty if there are none. */
  readonly strays: readonly string[];
}

/** Runs one call and reads back all memory. */
export async function runOp(
  engine: Engine,
  op: OpName,
  args: readonly CaseArgument[],
  { alignment = 4, layoutSeed = 0 }: RunOptions = {},
): Promise<Run> {
  const layout = placeTensors(args, new Rng(layoutSeed, 1), alignment);
  const uploaded = upload(engine, layout.before);
  engine.run(op, callArguments(engine, args, layout));
  const [after] = await Promise.all([download(engine, layout.before), uploaded]);
  return {
    values: (tensor) => valuesOf(after, tensor, layout.places.get(tensor)!),
    strays: strayWrites(layout, after),
  };
}

/** Describes the fault of the result of a case; empty if there is none. */
export function problemsOf({ args, expected }: OpCase, run: Run, tolerance: number): string[] {
  const untold = args.filter(
    (arg) =>
      typeof arg === 'object' &&
      arg !== null &&
      'role' in arg &&
      (arg.role === 'output' || arg.role === 'update') &&
      !expected.has(arg),
  );
  return [
    ...run.strays,
    ...untold.map((arg) => `${(arg as CaseTensor).name}: the table does not say what is expected`),
    ...[...expected].flatMap(([tensor, expectation]) => compare(tensor, run.values(tensor), expectation, tolerance)),
  ];
}

/** Runs one case of the op table on one back end and says what is wrong with the result. */
import type { Engine } from '../../../src/engine/index.js';
import type { OpName } from '../../../src/engine/native.js';
import { compare } from './compare.js';
import { callArguments, download, placeTensors, strayWrites, upload, valuesOf, type Memory } from './memory.js';
import type { OpCase } from './opCase.js';
import { Rng } from './rng.js';

export interface RunOptions {
  readonly alignment: number;
  readonly tolerance: number;
  /** Decides where the tensors lie. */
  readonly layoutSeed: number;
}

export interface Outcome {
  /** Empty when all is well. */
  readonly problems: readonly string[];
  readonly after: Memory;
}

export async function runCase(engine: Engine, op: OpName, opCase: OpCase, options: RunOptions): Promise<Outcome> {
  const layout = placeTensors(opCase, new Rng(options.layoutSeed, 1), options.alignment);
  const uploaded = upload(engine, layout.before);
  engine.run(op, callArguments(engine, opCase, layout));
  const [after] = await Promise.all([download(engine, layout.before), uploaded]);
  const problems = strayWrites(layout, after);
  for (const [tensor, place] of layout.places) {
    if (tensor.role !== 'output' && tensor.role !== 'update') continue;
    const expected = opCase.expected.get(tensor);
    if (expected) problems.push(...compare(tensor, valuesOf(after, tensor, place), expected, options.tolerance));
    else problems.push(`${tensor.name}: the table does not say what is expected`);
  }
  return { problems, after };
}

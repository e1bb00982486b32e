import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import { loadAddon } from '../../../src/engine/load.js';
import { backends, tolerances } from '../support/backends.js';
import { reserveArenas } from '../support/memory.js';
import { tensorsOf } from '../support/opCase.js';
import { opNames, opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { problemsOf, runOp } from '../support/runCase.js';
import { worldSizes, type WorldSize } from '../support/world.js';

/** Number of random calls of each op, and sizes of the first calls. */
const cases = 40;
const firstSizes: readonly WorldSize[] = [...worldSizes, 'wide', 'wide', 'wide'];

/** Bytes to which a step's tensors are aligned. */
const alignmentOfSteps = 256;

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

test('the table has exactly the ops of the addon', () => {
  expect([...opNames].sort()).toEqual([...loadAddon().opNames].sort());
});

describe.each(backends)('$name', ({ open, precision, dtype, alignment }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  test.each(opNames)('%s agrees with its float64 reference', async (op) => {
    const problems: string[] = [];
    for (let seed = 0; seed < cases; seed++) {
      const opCase = opTable[op](new Rng(seed), firstSizes[seed], dtype);
      const layout = { alignment: seed % 3 === 0 ? alignment : alignmentOfSteps, layoutSeed: seed };
      const run = await runOp(engine, op, opCase.args, layout);
      problems.push(...problemsOf(opCase, run, tolerances[precision]).map((problem) => `seed ${seed}: ${problem}`));
    }
    expect(problems).toEqual([]);
  });

  test.each(opNames)('%s gives the same bits again', async (op) => {
    for (const [seed, size] of (['large', 'wide'] as const).entries()) {
      const { args } = opTable[op](new Rng(seed), size, dtype);
      const layout = { alignment: alignmentOfSteps, layoutSeed: seed };
      const [once, again] = [await runOp(engine, op, args, layout), await runOp(engine, op, args, layout)];
      for (const tensor of tensorsOf(args).filter(({ role }) => role !== 'scratch')) {
        const [first, second] = [once, again].map((run) => bytesOf(run.values(tensor)));
        expect({ seed, tensor: tensor.name, same: first.equals(second) }).toMatchObject({ same: true });
      }
    }
  });
});

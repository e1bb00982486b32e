import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import { loadAddon } from '../../../src/engine/load.js';
import { backends, tolerances } from '../support/backends.js';
import { reserveArenas } from '../support/memory.js';
import { opNames, opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { problemsOf, runOp } from '../support/runCase.js';
import { worldSizes } from '../support/world.js';

/** Random calls of each op; the first of each size, one after the other. */
const cases = 40;

test('the table has every op of the addon, and no other', () => {
  expect([...opNames].sort()).toEqual([...loadAddon().opNames].sort());
});

describe.each(backends)('$name', ({ open, precision, dtype, alignment }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  test.each(opNames)('%s is its float64 reference', async (op) => {
    const problems: string[] = [];
    for (let seed = 0; seed < cases; seed++) {
      const opCase = opTable[op](new Rng(seed), worldSizes[seed], dtype);
      const run = await runOp(engine, op, opCase.args, { alignment, layoutSeed: seed });
      problems.push(...problemsOf(opCase, run, tolerances[precision]).map((problem) => `seed ${seed}: ${problem}`));
    }
    expect(problems).toEqual([]);
  });
});

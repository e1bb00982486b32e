import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import { loadAddon } from '../../../src/engine/load.js';
import { backends, tolerances } from '../support/backends.js';
import { reserveArenas } from '../support/memory.js';
import { opNames, opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { runCase } from '../support/runCase.js';

/** Random calls of each op. */
const cases = 40;

test('the table has every op of the addon, and no other', () => {
  expect([...opNames].sort()).toEqual([...loadAddon().opNames].sort());
});

describe.each(backends)('$name', ({ open, precision, alignment }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  test.each(opNames)('%s is its float64 reference', async (op) => {
    const problems: string[] = [];
    for (let seed = 0; seed < cases; seed++) {
      const options = { alignment, tolerance: tolerances[precision], layoutSeed: seed };
      const outcome = await runCase(engine, op, opTable[op](new Rng(seed)), options);
      problems.push(...outcome.problems.map((problem) => `seed ${seed}: ${problem}`));
    }
    expect(problems).toEqual([]);
  });
});

/**
 * Makes thousands of calls with wrong numbers. Each call must be refused with a code, or use only the arenas. The
 * process must not end.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadAddon } from '../../../src/engine/load.js';
import type { NativeEngine, OpName } from '../../../src/engine/native.js';
import { arenaNames, type ArenaName } from '../../../src/engine/tensor.js';
import { placeTensors, type Layout } from '../support/memory.js';
import { opNames, opTable } from '../support/opTable.js';
import { rawArguments, type RawArgument, type RawKind } from '../support/rawCall.js';
import { Rng } from '../support/rng.js';

const addon = loadAddon();
const arenaBytes = 1 << 16;
let native: NativeEngine;
beforeAll(() => {
  native = addon.createEngine(2);
  for (let arena = 0; arena < 4; arena++) addon.reserve(native, arena, arenaBytes);
});
afterAll(() => addon.dispose(native));

/** Calls that are right and fit into the arenas: several of each op. */
const rightCalls = opNames.flatMap((op) => {
  const calls: { op: OpName; raw: RawArgument[]; layout: Layout }[] = [];
  for (let seed = 0; calls.length < 4; seed++) {
    const { args } = opTable[op](new Rng(seed));
    const layout = placeTensors(args, new Rng(seed), 4);
    if (Object.values(layout.before).some((words) => 4 * words.length > arenaBytes)) continue;
    calls.push({ op, layout, raw: rawArguments(args, layout) });
  }
  return calls;
});

const strange = fc.oneof(
  fc.integer({ min: -3, max: 70 }),
  fc.integer({ min: 0, max: arenaBytes }),
  fc.constantFrom(
    NaN,
    Infinity,
    -Infinity,
    -0,
    0.5,
    2 ** 28,
    2 ** 31,
    2 ** 32,
    2 ** 50,
    2 ** 53,
    2 ** 63,
    -(2 ** 63),
    1e300,
    5e-324,
  ),
  fc.double(),
);

/** Changes of a right call. `absent` removes a tensor, and `all` uses all rows, independent of the step record. */
const change = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('set' as const), at: fc.nat(60), value: strange }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('absent' as const), at: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('all' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), at: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('append' as const), value: strange }) },
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function changed(raw: readonly RawArgument[], changes: readonly Change[]): number[] {
  const numbers = raw.map(({ value }) => value);
  const placesOf = (kind: RawKind): number[] => raw.flatMap((argument, i) => (argument.kind === kind ? [i] : []));
  for (const by of changes) {
    if (by.kind === 'set') numbers[by.at % raw.length] = by.value;
    else if (by.kind === 'append') numbers.push(by.value);
    else if (by.kind === 'all') for (const i of placesOf('rowSet')) numbers[i] = 0;
    else if (by.kind === 'absent') numbers[placesOf('arena')[by.at % placesOf('arena').length]] = -1;
    else numbers.length = Math.min(numbers.length, by.at);
  }
  return numbers;
}

function enqueue(op: number, numbers: readonly number[]): 'taken' | 'refused' {
  try {
    addon.enqueue(native, op, Float64Array.from(numbers), numbers.length);
    return 'taken';
  } catch (error) {
    expect((error as { code?: string }).code).toBe('BAD_ARGUMENT');
    return 'refused';
  }
}

test('right calls with a few numbers changed', async () => {
  const counts = { taken: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.nat(rightCalls.length - 1),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      async (i, changes) => {
        const { op, raw, layout } = rightCalls[i];
        for (const [arena, words] of Object.entries(layout.before))
          await addon.upload(native, arenaNames.indexOf(arena as ArenaName), 0, words);
        const outcome = enqueue(addon.opNames.indexOf(op), changed(raw, changes));
        counts[outcome]++;
        await addon.synchronize(native);
      },
    ),
    { numRuns: 5000, seed: 2019 },
  );
  // Both results must be frequent; otherwise the test covers too few cases.
  expect(Math.min(counts.taken, counts.refused)).toBeGreaterThan(300);
});

test('any numbers', async () => {
  fc.assert(
    fc.property(fc.integer({ min: -1, max: 26 }), fc.array(strange, { maxLength: 64 }), (op, numbers) => {
      enqueue(op, numbers);
    }),
    { numRuns: 5000, seed: 2019 },
  );
  await addon.synchronize(native);
});

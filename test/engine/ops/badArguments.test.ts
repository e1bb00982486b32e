/** Calls with one wrong number are refused with a code and the op's name, and nothing is written. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ArenaName } from '../../../src/engine/index.js';
import { loadAddon } from '../../../src/engine/load.js';
import type { NativeEngine, OpName } from '../../../src/engine/native.js';
import { arenaNames } from '../../../src/engine/tensor.js';
import { placeTensors, type Layout } from '../support/memory.js';
import type { OpCase } from '../support/opCase.js';
import { opNames, opTable } from '../support/opTable.js';
import { rawArguments, type RawArgument, type RawKind } from '../support/rawCall.js';
import { Rng } from '../support/rng.js';

const addon = loadAddon();
const arenaBytes = 1 << 16;
let native: NativeEngine;
beforeAll(() => {
  native = addon.createEngine(1);
  for (let arena = 0; arena < 4; arena++) addon.reserve(native, arena, arenaBytes);
});
afterAll(() => addon.dispose(native));

/** The code and message of the error that a call throws; null if it is accepted. */
function refusal(call: () => void): { code: string; message: string } | null {
  try {
    call();
    return null;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
}

const enqueue = (op: string, numbers: readonly number[]) =>
  refusal(() => addon.enqueue(native, addon.opNames.indexOf(op), Float64Array.from(numbers), numbers.length));

/** A case that fits into the small arenas. */
function smallCase(op: OpName): { opCase: OpCase; layout: Layout } {
  for (let seed = 0; ; seed++) {
    const opCase = opTable[op](new Rng(seed));
    const layout = placeTensors(opCase.args, new Rng(seed), 4);
    if (Object.values(layout.before).every((words) => 4 * words.length <= arenaBytes)) return { opCase, layout };
  }
}

/** Numbers that are invalid for each kind of argument; a function gets the valid number. */
const wrong: Readonly<Record<RawKind, readonly (number | ((value: number) => number))[]>> = {
  arena: [-2, 5, 6, 0.5, NaN, Infinity],
  offset: [-4, (value) => value + 1, NaN, 0.5, 2 ** 52, 2 ** 63, arenaBytes + 4, Infinity],
  elements: [-1, NaN, 0.5, 2 ** 40, 2 ** 51, 1e300, arenaBytes],
  dtype: [-1, 1, (value) => (value === 2 ? 0 : 2), 3, 0.5, NaN], // the CPU does not support bf16
  rowSet: [-1, 7, 0.5, NaN],
  capacity: [-1, NaN, 0.5, 2 ** 28, 2 ** 40, (value) => value + arenaBytes],
  split: [-1, NaN, 0.5, 2 ** 28],
  probability: [-0.1, 1, 2, NaN],
  word: [-1, 0.5, NaN, 2 ** 32],
  flag: [-1, 2, 0.5, NaN],
  number: [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 40],
};

/** Positions of arguments that may be any number: epsilons, rates, values. */
const reals: Readonly<Partial<Record<OpName, readonly number[]>>> = {
  layerNormForward: [2],
  tokenEmbeddingForward: [11],
  objectEmbeddingForward: [9],
  adamUpdate: [1, 2, 3, 4, 5],
  fill: [0],
  fillNormal: [0],
};

/** Tensors of any size: their size determines the amount of work. */
const sizedByCaller: Readonly<Partial<Record<OpName, readonly string[]>>> = {
  gradNorm: ['gradients'],
  adamUpdate: ['parameters', 'gradients', 'firstMoment', 'secondMoment'],
  fill: ['x'],
  fillNormal: ['x'],
  tokenEmbeddingForward: ['type'],
  tokenEmbeddingBackward: ['type'],
};

function wrongValues(op: OpName, argument: RawArgument): number[] {
  const { kind, value, tensor, place } = argument;
  if (kind === 'number' && reals[op]?.includes(place)) return [];
  // If there is no tensor, its offset is ignored.
  if (tensor === null && (kind === 'offset' || kind === 'elements')) return [-1, NaN, 0.5];
  const values = wrong[kind].map((w) => (typeof w === 'number' ? w : w(value)));
  const exactlySized = tensor && value > 0 && !sizedByCaller[op]?.includes(tensor.name);
  if (kind === 'offset' && tensor?.dtype !== 'f16') values.push(value + 2); // words are 4 bytes
  return kind === 'elements' && exactlySized ? [...values, value - 1] : values;
}

describe.each(opNames)('%s', (op) => {
  test('refuses a wrong number in any place, too few and too many numbers, and then writes nothing', async () => {
    const { opCase, layout } = smallCase(op);
    const held = Object.entries(layout.before).map(([arena, words]) => ({
      arena: arenaNames.indexOf(arena as ArenaName),
      words,
    }));
    for (const { arena, words } of held) await addon.upload(native, arena, 0, words);
    const raw = rawArguments(opCase.args, layout);
    const right = raw.map(({ value }) => value);
    const taken: string[] = [];
    const hold = (what: string, numbers: readonly number[]): void => {
      const error = enqueue(op, numbers);
      if (error?.code !== 'BAD_ARGUMENT' || !error.message.startsWith(`${op}: `))
        taken.push(`${what}: ${error ? `${error.code} ${error.message}` : 'taken'}`);
    };
    raw.forEach((argument, i) => {
      for (const value of wrongValues(op, argument))
        hold(`${argument.tensor?.name ?? ''} ${argument.kind} = ${value}`, right.with(i, value));
    });
    for (let count = 0; count < right.length; count++) hold(`${count} arguments`, right.slice(0, count));
    hold('one argument more', [...right, 0]);
    expect(taken).toEqual([]);
    for (const { arena, words } of held)
      expect(await addon.read(native, arena, 0, new Int32Array(words.length))).toEqual(words);
  });
});

test.each(['attentionForward', 'attentionBackward', 'attentionMapGradient'] as const)(
  '%s wants a step record, also for all rows',
  (op) => {
    const { opCase, layout } = smallCase(op);
    const all = opCase.args.map((arg) =>
      typeof arg === 'object' && arg !== null && 'set' in arg ? { ...arg, set: 'all' as const, record: null } : arg,
    );
    const numbers = rawArguments(all, layout).map(({ value }) => value);
    expect(enqueue(op, numbers)).toMatchObject({ code: 'BAD_ARGUMENT', message: expect.stringContaining('record') });
  },
);

describe('the addon itself', () => {
  const numbers = new Float64Array(4);

  test.each([
    ['no engine', undefined],
    ['an object', {}],
    ['a number', 1],
    ['a typed array', new Uint8Array(64)],
    ['null', null],
  ])('refuses %s as its engine', (_, handle) => {
    const engine = handle as unknown as NativeEngine;
    for (const call of [
      () => addon.enqueue(engine, 0, numbers, 4),
      () => addon.reserve(engine, 0, 64),
      () => void addon.upload(engine, 0, 0, numbers),
      () => void addon.read(engine, 0, 0, numbers),
      () => void addon.synchronize(engine),
      () => void addon.dispose(engine),
    ])
      expect(refusal(call)).toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  test.each([-1, addon.opNames.length, 1e9, NaN, 0.5, Infinity, '0', null, undefined])('refuses op number %p', (op) => {
    expect(refusal(() => addon.enqueue(native, op as number, numbers, 4))).toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  test.each([
    ['a count beyond the list', numbers, 5],
    ['a negative count', numbers, -1],
    ['no count', numbers, undefined],
    ['no list', undefined, 0],
    ['a list that is no typed array', [0, 0, 0, 0], 4],
    ['a list of other numbers', new Int32Array(4), 4],
  ])('refuses %s', (_, list, count) => {
    expect(refusal(() => addon.enqueue(native, 0, list as Float64Array, count as number))).toMatchObject({
      code: 'BAD_ARGUMENT',
    });
  });

  test.each([
    [4, 0],
    [5, 0],
    [-1, 0],
    [NaN, 0],
    [0, -4],
    [0, NaN],
    [0, arenaBytes],
    [0, arenaBytes - 28],
    [0, 2 ** 53],
    [0, Infinity],
  ])('refuses to copy to and from arena %p at %p', (arena, offset) => {
    expect(arenaNames[4]).toBe('workspace'); // this arena is not reserved
    for (const call of [
      () => void addon.read(native, arena, offset, numbers),
      () => void addon.upload(native, arena, offset, numbers),
    ])
      expect(refusal(call)).toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  test.each([-1, NaN, 2 ** 60, Infinity, 0.5])('refuses an arena of %p bytes', (bytes) => {
    expect(refusal(() => addon.reserve(native, 0, bytes))).toMatchObject({ code: 'BAD_ARGUMENT' });
  });
});

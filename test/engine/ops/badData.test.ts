/** Kernels with invalid values in valid tensors: they write only to their outputs, and do not lose NaN. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import type { OpName } from '../../../src/engine/native.js';
import { backends } from '../support/backends.js';
import { roundToBf16 } from '../support/bf16.js';
import { reserveArenas } from '../support/memory.js';
import { isRows, isTensor, tensorsOf, type CaseArgument, type CaseTensor } from '../support/opCase.js';
import { opNames, opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { runOp } from '../support/runCase.js';

const edges = [-2147483648, -1, 0, 1, 511, 512, 513, 65535, 2147483647];

/** Integers near the limits, or any bits. */
function garbage(rng: Rng, tensor: CaseTensor): CaseTensor {
  const words = Int32Array.from(tensor.values, (value) =>
    rng.pick([() => rng.pick(edges), () => rng.uint32() | 0, () => rng.int(0, 40), () => value | 0])(),
  );
  if (tensor.dtype === 'i32') return { ...tensor, values: words };
  const floats = new Float32Array(words.buffer);
  return { ...tensor, values: tensor.dtype === 'bf16' ? floats.map(roundToBf16) : floats };
}

/** The same call with other values in some tensors. */
function exchanged(args: readonly CaseArgument[], by: ReadonlyMap<CaseTensor, CaseTensor>): CaseArgument[] {
  const of = (tensor: CaseTensor | null): CaseTensor | null => (tensor ? (by.get(tensor) ?? tensor) : null);
  return args.map((arg) => {
    if (typeof arg !== 'object' || arg === null) return arg;
    if (isTensor(arg)) return of(arg);
    return isRows(arg) ? { ...arg, record: of(arg.record) } : { ...arg, rowIds: of(arg.rowIds) };
  });
}

/** Inputs whose NaN must reach an output of the op. Losses read only rows with a label. */
const carriers: readonly (readonly [OpName, string])[] = [
  ['linearForward', 'x'],
  ['linearForward', 'weight'],
  ['linearBackwardInput', 'dy'],
  ['linearBackwardWeight', 'dy'],
  ['linearBackwardWeight', 'x'],
  ['geluForward', 'x'],
  ['geluBackward', 'kept'],
  ['tanhForward', 'x'],
  ['tanhBackward', 'kept'],
  ['attentionForward', 'qkv'],
  ['attentionBackward', 'dContext'],
  ['layerNormForward', 'z'],
  ['layerNormForward', 'gamma'],
  ['layerNormBackward', 'dOut'],
  ['tokenEmbeddingForward', 'gamma'],
  ['tokenEmbeddingBackward', 'dOut'],
  ['objectEmbeddingForward', 'x'],
  ['objectEmbeddingForward', 'boxes'],
  ['objectEmbeddingBackward', 'dOut'],
  ['softmaxCrossEntropyForward', 'logits'],
  ['softmaxCrossEntropyBackward', 'logits'],
  ['sigmoidCrossEntropyForward', 'logits'],
  ['sigmoidCrossEntropyBackward', 'logits'],
  ['smoothL1Forward', 'prediction'],
  ['smoothL1Backward', 'prediction'],
];

describe.each(backends)('$name', ({ open, dtype, alignment }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  /** Outputs may have any values here; the test checks only the memory outside of them. */
  async function strayWritesOf(op: OpName, seed: number, replace: (tensor: CaseTensor) => boolean): Promise<string[]> {
    const { args } = opTable[op](new Rng(seed), undefined, dtype);
    const rng = new Rng(seed, 2);
    const chosen = tensorsOf(args).filter((tensor) => tensor.role !== 'output' && replace(tensor));
    const bad = new Map(chosen.map((tensor) => [tensor, garbage(rng, tensor)]));
    const run = await runOp(engine, op, exchanged(args, bad), { alignment, layoutSeed: seed });
    return run.strays.map((stray) => `seed ${seed}: ${stray}`);
  }

  describe.each(opNames)('%s writes only to its outputs', (op) => {
    test.each([
      [
        'ids, indices, labels, offsets and chunks',
        (tensor: CaseTensor) => tensor.dtype === 'i32' && tensor.name !== 'record',
      ],
      ['a step record', (tensor: CaseTensor) => tensor.name === 'record'],
      ['everything', () => true],
    ])('with any values in %s', async (_, replace) => {
      const strays: string[] = [];
      for (let seed = 100; seed < 105; seed++) strays.push(...(await strayWritesOf(op, seed, replace)));
      expect(strays).toEqual([]);
      await engine.synchronize();
    });
  });

  test.each(carriers)('%s does not lose a NaN in %s', async (op, name) => {
    let seen = 0;
    for (let seed = 0; seen < 4; seed++) {
      const { args } = opTable[op](new Rng(seed), undefined, dtype);
      const tensor = args.find(
        (arg): arg is CaseTensor => arg !== null && typeof arg === 'object' && 'role' in arg && arg.name === name,
      )!;
      const rows = args.find((arg) => arg !== null && typeof arg === 'object' && 'set' in arg)!;
      if (!('active' in (rows as object))) throw new Error('an op of rows');
      const { active, capacity } = rows as { active: readonly number[]; capacity: number };
      if (active.length === 0) continue;
      seen++;
      const perRow = !['weight', 'gamma'].includes(name);
      const width = tensor.values.length / (perRow ? capacity : 1);
      const rng = new Rng(seed, 3);
      const row = perRow ? rng.pick(active) : 0;
      const spoilt = { ...tensor, values: tensor.values.slice() };
      spoilt.values[row * width + rng.int(0, width - 1)] = NaN;
      const by = new Map<CaseTensor, CaseTensor>([[tensor, spoilt]]);
      for (const labels of tensorsOf(args).filter((t) => t.name === 'labels'))
        by.set(labels, { ...labels, values: new Int32Array(labels.values.length) });
      const changed = exchanged(args, by);
      const run = await runOp(engine, op, changed, { alignment, layoutSeed: seed });
      const outputs = tensorsOf(changed).filter(
        ({ role, dtype }) => (role === 'output' || role === 'update') && dtype !== 'i32',
      );
      const lost = outputs.every((output) => !run.values(output).some(Number.isNaN));
      expect({ seed, lost }).toEqual({ seed, lost: false });
    }
  });

  test.each([Infinity, -Infinity])(
    'a logit of %p makes the loss infinite or NaN, or gives its class probability 0',
    async (logit) => {
      for (let seed = 0; seed < 10; seed++) {
        const { args } = opTable.softmaxCrossEntropyForward(new Rng(seed), undefined, dtype);
        const logits = args[3] as CaseTensor;
        const labels = args[5] as CaseTensor;
        const tally = args[9] as CaseTensor;
        if ((args[1] as number) < 2 || (args[0] as { active: readonly number[] }).active.length === 0) continue;
        const spoilt = { ...logits, values: logits.values.slice() };
        spoilt.values[0] = logit;
        const first = { ...labels, values: new Int32Array(labels.values.length) };
        const changed = exchanged(
          args,
          new Map([
            [logits, spoilt],
            [labels, first],
          ]),
        );
        const loss = (await runOp(engine, 'softmaxCrossEntropyForward', changed)).values(tally)[0];
        expect(Number.isFinite(loss)).toBe(false);
      }
    },
  );
});

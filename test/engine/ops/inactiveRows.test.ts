/**
 * No op may read inactive rows of an activation, because `linear` on CUDA writes its bias to them. The only exception
 * is the product that computes the gradient of a weight: it multiplies the inactive rows with the zeros in the gradient
 * of the output.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import type { OpName } from '../../../src/engine/native.js';
import { backends, tolerances } from '../support/backends.js';
import { reserveArenas } from '../support/memory.js';
import { isRows, isTensor, type CaseTensor } from '../support/opCase.js';
import { opTable } from '../support/opTable.js';
import { Rng } from '../support/rng.js';
import { problemsOf, runOp } from '../support/runCase.js';

/** Ops that read the output of `linear`, in the forward or the backward pass, and the operand with this output. */
const readers: readonly (readonly [OpName, string])[] = [
  ['attentionForward', 'qkv'],
  ['attentionBackward', 'qkv'],
  ['attentionMapGradient', 'qkv'],
  ['geluForward', 'x'],
  ['geluBackward', 'kept'],
  ['tanhForward', 'x'],
  ['layerNormForward', 'z'],
  ['objectEmbeddingForward', 'x'],
  ['objectEmbeddingBackward', 'x'],
  ['softmaxCrossEntropyForward', 'logits'],
  ['softmaxCrossEntropyBackward', 'logits'],
  ['sigmoidCrossEntropyForward', 'logits'],
  ['sigmoidCrossEntropyBackward', 'logits'],
  ['smoothL1Forward', 'prediction'],
  ['smoothL1Backward', 'prediction'],
];

describe.each(backends)('$name', ({ open, dtype, precision }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  test.each(readers)('%s does not read inactive rows of %s', async (op, name) => {
    let tried = 0;
    for (let seed = 0; tried < 6; seed++) {
      const made = opTable[op](new Rng(seed), undefined, dtype);
      const rows = made.args.find(isRows)!;
      const tensor = made.args.find((arg): arg is CaseTensor => isTensor(arg) && arg.name === name)!;
      if (rows.active.length === rows.capacity || rows.active.length === 0) continue;
      tried++;
      const width = tensor.values.length / rows.capacity;
      const values = tensor.values.map((value, i) => (rows.active.includes(Math.floor(i / width)) ? value : NaN));
      const spoilt = { ...tensor, values };
      const args = made.args.map((arg) => (arg === tensor ? spoilt : arg));
      const expected = new Map(
        [...made.expected].map(([of, wanted]) =>
          of === tensor
            ? ([spoilt, { ...wanted, anyInactive: op === 'layerNormForward' }] as const)
            : ([of, wanted] as const),
        ),
      );
      const run = await runOp(engine, op, args, { alignment: 256, layoutSeed: seed });
      const problems = problemsOf({ args, expected }, run, tolerances[precision]);
      expect({ seed, problems: problems.filter((problem) => !/inactive row is NaN/.test(problem)) }).toEqual({
        seed,
        problems: [],
      });
    }
  });
});

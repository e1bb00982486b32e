/** Cases of attention that the op table does not test: tensors aligned to vectors, and the limits of each back end. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Engine } from '../../../src/engine/index.js';
import { backends, tolerances } from '../support/backends.js';
import { reserveArenas } from '../support/memory.js';
import { Rng } from '../support/rng.js';
import { problemsOf, runOp } from '../support/runCase.js';
import { attentionCases, type AttentionKind } from '../support/table/attention.js';

const ops = ['attentionForward', 'attentionBackward', 'attentionMapGradient'] as const;
/**
 * In each back end, `attentionMapGradient` has only one kernel, for aligned and other tensors. The tests of the op
 * table run this kernel.
 */
const opsWithVectors = ops.slice(0, 2);

/** One case for each number of 16-row tiles and each head dimension for which there are kernels. */
const vectorKinds: readonly AttentionKind[] = [
  { size: 'small', longest: 12, headDims: [64] },
  { size: 'small', longest: 32, headDims: [32, 48, 64, 128] },
  { size: 'small', longest: 36, headDims: [24, 64] },
  { size: 'small', longest: 48, headDims: [32, 128] },
  { size: 'small', longest: 64, headDims: [32, 64, 96] },
  { size: 'small', longest: 80, headDims: [128] },
  { size: 'small', longest: 100, headDims: [64] },
  { size: 'small', longest: 128, headDims: [32] },
  { size: 'small', longest: 128, headDims: [128] },
  { size: 'large', longest: 20, headDims: [8] },
];

/** Cases that only the CPU supports. */
const oversized: readonly AttentionKind[] = [
  { size: 'small', longest: 200, headDims: [8] },
  { size: 'small', longest: 4, headDims: [136, 256] },
];

describe.each(backends)('$name', ({ name, open, precision, dtype }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    reserveArenas(engine);
  });
  afterAll(() => engine.dispose());

  const problemsAt = async (op: (typeof ops)[number], kind: AttentionKind, seed: number): Promise<string[]> => {
    const opCase = attentionCases[op](new Rng(seed), kind, dtype);
    const run = await runOp(engine, op, opCase.args, { alignment: 256, layoutSeed: seed });
    return problemsOf(opCase, run, tolerances[precision]).map((problem) => `seed ${seed}: ${problem}`);
  };

  describe.each(opsWithVectors)('%s', (op) => {
    test.each(vectorKinds)('of up to $longest rows a sample, head dimensions $headDims', async (kind) => {
      for (let seed = 0; seed < 3; seed++) expect(await problemsAt(op, kind, seed)).toEqual([]);
    });

    test('gives the same bits again', async () => {
      const { args, expected } = attentionCases[op](new Rng(1), vectorKinds[2], dtype);
      const [first, second] = [
        await runOp(engine, op, args, { alignment: 256 }),
        await runOp(engine, op, args, { alignment: 256 }),
      ];
      for (const tensor of expected.keys()) expect(second.values(tensor)).toEqual(first.values(tensor));
    });
  });

  describe.each(ops)('%s', (op) => {
    test.each(oversized)('of $longest rows and head dimensions $headDims: taken, or refused by name', async (kind) => {
      if (name.startsWith('cpu')) return expect(await problemsAt(op, kind, 0)).toEqual([]);
      // A failed op makes its engine unusable, so this test has a separate engine.
      const other = open();
      reserveArenas(other);
      const { args } = attentionCases[op](new Rng(0), kind, dtype);
      await expect(runOp(other, op, args)).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/^attention: .*the CUDA kernels take at most 128/),
      });
      await other.dispose();
    });
  });
});
